//! One connection to PostgreSQL, which is driven from a thread that may block.

use std::cell::RefCell;
use std::collections::HashMap;

use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use crate::dialect::numbered;
use crate::{MetaError, SqlParam};

/// The settings of every connection. They allow index scans only: the planner prefers a scan of the whole table while a
/// table is small, and such a scan would bring a serializable transaction into conflict with every other one that
/// writes to that table.
const SETTINGS: &str =
    "SET synchronous_commit = on; SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET jit = off; SET lock_timeout = '5s'; SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '60s'; SET plan_cache_mode = force_generic_plan";

pub(crate) struct Session {
    client: Client,
    runtime: Handle,
    /// The prepared statements by their text. There are few: a text is a constant, or a list of one of a few lengths.
    prepared: RefCell<HashMap<String, Statement>>,
}

impl Session {
    pub(super) fn connect(config: &Config, runtime: &Handle) -> Result<Self, MetaError> {
        let (client, connection) = runtime.block_on(config.connect(NoTls))?;
        runtime.spawn(async move {
            // An error of the connection also fails the next statement of the session, which reports it.
            let _ = connection.await;
        });
        let session = Self { client, runtime: runtime.clone(), prepared: RefCell::default() };
        session.script(SETTINGS)?;
        Ok(session)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    pub(crate) fn script(&self, sql: &str) -> Result<(), MetaError> {
        Ok(self.runtime.block_on(self.client.batch_execute(sql))?)
    }

    pub(crate) fn execute(&self, sql: &str, params: &[SqlParam<'_>]) -> Result<u64, MetaError> {
        let statement = self.prepare(sql)?;
        Ok(self.runtime.block_on(self.client.execute(&statement, &as_sql(params)))?)
    }

    pub(crate) fn query(&self, sql: &str, params: &[SqlParam<'_>]) -> Result<Vec<Row>, MetaError> {
        let statement = self.prepare(sql)?;
        Ok(self.runtime.block_on(self.client.query(&statement, &as_sql(params)))?)
    }

    fn prepare(&self, sql: &str) -> Result<Statement, MetaError> {
        if let Some(statement) = self.prepared.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.runtime.block_on(self.client.prepare(&numbered(sql)))?;
        self.prepared.borrow_mut().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

fn as_sql<'a>(params: &'a [SqlParam<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

//! The background jobs: collection, cleanup, eviction, the scrub, webhooks, ended sessions, deleted roles, and storing
//! what was counted in memory.

mod context;
pub(crate) mod ticks;

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{GcMode, ScrubScope};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::{Config, DurationSetting};
use crate::listen::tls::ServerTls;
use crate::notifications::{self, WebhookEndpoint};
pub(crate) use context::JobContext;
use ticks::JobTicks;
use web::app::App;

/// The interval at which counts of pulls are stored and sizes are folded.
const COUNT_PERIOD: Duration = Duration::from_secs(30);

/// The interval at which the database is asked whether another process changed rights or revoked tokens, and the stores
/// whether they are still there.
const POLL_PERIOD: Duration = Duration::from_secs(1);

/// The interval at which the scrub asks for copies that are due to be checked.
const SCRUB_PERIOD: Duration = Duration::from_secs(60);

/// The interval at which events and changes of tags are looked for that are too old.
const HISTORY_PERIOD: Duration = Duration::from_secs(3600);

/// The interval at which sessions and links that ended by themselves are deleted.
const SESSION_PERIOD: Duration = Duration::from_secs(60);

/// The interval at which custom roles are looked for that were deleted long ago.
const ROLE_PERIOD: Duration = Duration::from_secs(3600);

/// The interval at which the files of the certificate are checked for changes.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(2);

/// The jobs that run, and the state that each of them gets.
struct RunningJobs {
    context: JobContext,
    running: JoinSet<()>,
}

impl RunningJobs {
    /// Starts a job that runs once.
    fn once<Run>(&mut self, job: impl FnOnce(JobContext) -> Run)
    where
        Run: Future<Output = ()> + Send + 'static,
    {
        self.running.spawn(job(self.context.clone()));
    }

    /// Starts a job that runs again and again: each time, one period after its last run.
    fn every<Run>(&mut self, period: Duration, job: impl Fn(JobContext) -> Run + Send + 'static)
    where
        Run: Future<Output = ()> + Send + 'static,
    {
        let mut ticks = JobTicks::new(period, &self.context.stop);
        let context = self.context.clone();
        self.running.spawn(async move {
            while ticks.next().await {
                job(context.clone()).await;
            }
        });
    }
}

/// Starts all jobs. When the server stops, each job ends after its current step.
pub(crate) fn start(
    context: JobContext,
    config: &Config,
    tls: Option<ServerTls>,
    webhooks: Vec<WebhookEndpoint>,
) -> JoinSet<()> {
    // An interval of zero would keep a processor busy.
    let at_least = |interval: DurationSetting| interval.get().max(Duration::from_millis(100));
    let (gc_period, cleanup_period) =
        (at_least(config.gc.interval), at_least(config.cleanup.interval));
    let eviction_period = at_least(config.cache.interval);
    let scrub_rate = config.blobs.scrub_rate.get() as u64;
    let mut jobs = RunningJobs { context, running: JoinSet::new() };
    // The gauges of a server that has just started are not zero.
    jobs.once(measure);
    jobs.once(count_copies);
    jobs.every(COUNT_PERIOD, count);
    jobs.every(COUNT_PERIOD, count_images);
    jobs.every(POLL_PERIOD, poll_rights);
    jobs.every(POLL_PERIOD, check_stores);
    jobs.every(gc_period, collect);
    jobs.every(cleanup_period, move |context| clean(context, cleanup_period));
    jobs.every(eviction_period, evict);
    jobs.every(HISTORY_PERIOD, forget_history);
    jobs.every(SESSION_PERIOD, delete_ended_sessions);
    jobs.every(ROLE_PERIOD, forget_deleted_roles);
    jobs.every(SCRUB_PERIOD, move |context| scrub(context, scrub_rate));
    if let Some(tls) = tls {
        set_certificate_expiry(&jobs.context.app, &tls);
        jobs.every(CERTIFICATE_PERIOD, move |context| reload_certificate(context, tls.clone()));
    }
    for webhook in webhooks {
        jobs.once(|context| notifications::deliver(context, webhook));
    }
    jobs.running
}

/// Waits until the jobs have ended, at most until `deadline`, and aborts the rest. A job survives being cut anywhere,
/// as it survives a crash.
pub(crate) async fn end(mut jobs: JoinSet<()>, deadline: Instant) {
    let ended = async { while jobs.join_next().await.is_some() {} };
    if timeout_at(deadline, ended).await.is_err() {
        tracing::warn!("jobs were cut: they did not end within the drain time");
        jobs.shutdown().await;
    }
}

/// Sees whether another process changed rights or revoked tokens.
async fn poll_rights(context: JobContext) {
    let identity = context.app.engine.identity();
    let polled = identity.poll_epoch().await.map(drop);
    if let Err(error) = polled.and(identity.poll_revocations().await) {
        tracing::warn!(%error, "cannot see whether rights have changed: {error}");
    }
}

/// Sees whether the stores are still those that were opened.
async fn check_stores(JobContext { app, .. }: JobContext) {
    let _ = app.engine.check_stores().await;
    app.metrics.set_stores(app.engine.are_stores_present());
}

/// Reads the certificate again if its files were changed.
async fn reload_certificate(context: JobContext, tls: ServerTls) {
    let reloaded = tls.clone();
    let _ = tokio::task::spawn_blocking(move || reloaded.reload()).await;
    set_certificate_expiry(&context.app, &tls);
}

fn set_certificate_expiry(app: &App, tls: &ServerTls) {
    if let Some(expires_at) = tls.expires_at() {
        app.metrics.set_certificate_expiry(tls.certificate(), expires_at);
    }
}

async fn collect(context: JobContext) {
    let app = &context.app;
    match app.engine.collect(GcMode::Collect, |_| context.unless_stopping()).await {
        Ok(report) => app.metrics.files_collected(report.files, report.bytes),
        Err(error) => tracing::warn!(%error, "collection stopped and will be repeated: {error}"),
    }
    delete_expired_notifications(&context).await;
}

/// Checks the copies that are due, unless the scrub is off.
async fn scrub(context: JobContext, rate: u64) {
    if rate > 0 {
        let scrubbed =
            context.app.engine.scrub(ScrubScope::Due, rate, |_| context.unless_stopping());
        if let Err(error) = scrubbed.await {
            tracing::warn!(%error, "the scrub stopped and will go on: {error}");
        }
    }
    count_copies(context).await;
}

/// Sets the gauges of quarantined copies and of the oldest check.
async fn count_copies(JobContext { app, .. }: JobContext) {
    match app.engine.summarize_checks().await {
        Ok((quarantined, oldest)) => app.metrics.set_copies(quarantined, oldest),
        Err(error) => tracing::debug!(%error, "copies could not be counted: {error}"),
    }
}

/// Deletes the messages that no webhook has taken in time.
async fn delete_expired_notifications(context: &JobContext) {
    let app = &context.app;
    let mut counts = BTreeMap::<String, u64>::new();
    while !context.is_stopping() {
        match app.engine.delete_old_notifications().await {
            Ok(webhooks) if webhooks.is_empty() => break,
            Ok(webhooks) => {
                webhooks.into_iter().for_each(|webhook| *counts.entry(webhook).or_default() += 1);
            }
            Err(error) => {
                tracing::warn!(%error, "old messages for webhooks could not be deleted yet: {error}");
                break;
            }
        }
    }
    for (webhook, count) in counts {
        app.metrics.notifications_dropped(&webhook, count);
        tracing::warn!(
            webhook.name = webhook.as_str(),
            count,
            "webhook {webhook}: {count} messages are lost, because it did not take them for seven days"
        );
    }
}

async fn clean(context: JobContext, interval: Duration) {
    let cleaned = context.app.engine.clean_due(interval, |repository, step| {
        context.app.audit.record_cleanup(repository, step);
        context.unless_stopping()
    });
    if let Err(error) = cleaned.await {
        tracing::warn!(%error, "cleanup stopped and will be repeated: {error}");
    }
}

/// Deletes sessions and links that ended by themselves.
async fn delete_ended_sessions(context: JobContext) {
    let identity = context.app.engine.identity();
    while !context.is_stopping() {
        match identity.delete_ended_sessions().await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "ended sessions could not be deleted yet: {error}");
                break;
            }
        }
    }
}

/// Forgets custom roles whose ids are free again, with their bindings.
async fn forget_deleted_roles(context: JobContext) {
    let identity = context.app.engine.identity();
    while !context.is_stopping() {
        match identity.forget_deleted_role().await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                tracing::warn!(%error, "deleted roles could not be forgotten yet: {error}");
                break;
            }
        }
    }
}

/// Deletes from remote repositories what they may not keep.
async fn evict(context: JobContext) {
    let app = &context.app;
    match app.engine.evict(|| context.unless_stopping()).await {
        Ok(report) => app.metrics.versions_evicted(report.versions, report.bytes),
        Err(error) => tracing::warn!(%error, "eviction stopped and will be repeated: {error}"),
    }
}

/// Deletes events and changes of tags that are older than they are kept.
async fn forget_history(context: JobContext) {
    let forgotten = context.app.engine.forget_history(|| context.unless_stopping());
    if let Err(error) = forgotten.await {
        tracing::warn!(%error, "old events could not all be deleted yet: {error}");
    }
}

/// Stores the counts of pulls, and folds the counters of repositories and images.
async fn count(context: JobContext) {
    let engine = &context.app.engine;
    if let Err(error) = engine.flush_pulls().await {
        tracing::warn!(%error, "pulls could not be written down yet: {error}");
    }
    if let Err(error) = engine.fold_usage().await {
        tracing::warn!(%error, "sizes could not be folded yet: {error}");
    }
    measure(context).await;
}

/// Counts what images hold, where a push does not.
async fn count_images(context: JobContext) {
    let counted = context.app.engine.count_images(|| context.unless_stopping());
    if let Err(error) = counted.await {
        tracing::warn!(%error, "images could not all be counted yet: {error}");
    }
}

/// Sets the gauges of the disk, and of what the registry holds.
async fn measure(JobContext { app, .. }: JobContext) {
    if let Some(room) = app.engine.disk_room().await {
        app.metrics.set_disk(&room);
    }
    match app.engine.capacity().await {
        Ok(capacity) => app.metrics.set_capacity(&capacity),
        Err(error) => tracing::warn!(%error, "capacity could not be measured: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_does_not_end_is_cut() {
        let mut jobs = JoinSet::new();
        jobs.spawn(std::future::pending());
        end(jobs, Instant::now()).await;
    }
}

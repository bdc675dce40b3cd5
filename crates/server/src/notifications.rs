//! Delivers notifications of pushes, tags and deletes to webhooks, in the format in which Pub/Sub delivers those of
//! Artifact Registry.
//!
//! The messages are in the database, written in the transaction of each change; this module sends them. One process at
//! a time sends the messages of a webhook, one after the other. A message is deleted after its receiver has taken it: a
//! process that dies in between leaves it to be sent again. Webhooks do not influence each other.

mod message;
mod retry;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use engine::{DeliveryOutcome, EngineError, Notification, Webhook};
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use self::retry::{FailureCause, RetryState};
use crate::config::{self, Config};
use crate::egress::{EgressRules, EgressTarget, SendError};
use crate::jobs::JobContext;
use crate::jobs::ticks::JobTicks;

/// The interval at which the database is asked for messages.
const POLL_PERIOD: Duration = Duration::from_secs(1);

/// The time after which deliveries are stored, and the lease of this process is renewed: well within the lease.
const SETTLE_PERIOD: Duration = Duration::from_secs(2);

/// The most webhooks: each change writes a message for each of them in its transaction.
const MAX_WEBHOOKS: usize = 100;

/// A webhook of the settings: which changes it is told of, and where its messages are sent.
pub(crate) struct WebhookEndpoint {
    webhook: Webhook,
    /// The Pub/Sub subscription that messages name, if the settings have one.
    subscription: Option<String>,
    authorization: Option<HeaderValue>,
    target: EgressTarget,
}

impl WebhookEndpoint {
    /// Reads all webhooks of the settings. An error names the setting that cannot work.
    pub(crate) fn read_all(config: &Config, egress: &EgressRules) -> anyhow::Result<Vec<Self>> {
        if config.notifications.len() > MAX_WEBHOOKS {
            bail!("notifications: there are more than {MAX_WEBHOOKS}");
        }
        let mut names = BTreeSet::new();
        let mut endpoints = Vec::new();
        for (index, settings) in config.notifications.iter().enumerate() {
            let name = &settings.name;
            let endpoint = Self::new(settings, egress)
                .with_context(|| format!("notifications, number {}, {name:?}", index + 1))?;
            if !names.insert(name) {
                bail!("notifications.name {name:?} is used twice");
            }
            endpoints.push(endpoint);
        }
        Ok(endpoints)
    }

    fn new(settings: &config::WebhookSettings, egress: &EgressRules) -> anyhow::Result<Self> {
        let config::WebhookSettings { name, url, subscription, projects, repositories, .. } =
            settings;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 255 || !name.bytes().all(is_plain) {
            bail!("name must have 1 to 255 letters, digits, -, _ or .");
        }
        // The URL may hold a secret: the error says what is wrong, not where.
        let target = EgressTarget::new(url, egress).context("url")?;
        let webhook = Webhook {
            name: name.clone(),
            projects: parse_all("projects", projects)?,
            repositories: parse_all("repositories", repositories)?,
        };
        let subscription = Some(subscription.clone()).filter(|text| !text.is_empty());
        Ok(Self { webhook, subscription, authorization: authorization(settings)?, target })
    }

    /// Returns the part that the engine needs: the name, and the changes to be told of.
    pub(crate) fn webhook(&self) -> Webhook {
        self.webhook.clone()
    }

    fn name(&self) -> &str {
        &self.webhook.name
    }
}

fn parse_all<T>(setting: &str, texts: &[String]) -> anyhow::Result<Vec<T>>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let parse = |text: &String| text.parse().with_context(|| format!("{setting}: {text:?}"));
    texts.iter().map(parse).collect()
}

/// Returns the header with the webhook's token, if there is one. The value is marked as sensitive, so that it is not
/// printed.
fn authorization(settings: &config::WebhookSettings) -> anyhow::Result<Option<HeaderValue>> {
    let config::WebhookSettings { token_file, token_variable, .. } = settings;
    let token = match (token_file.as_path(), token_variable.as_str()) {
        (file, "") if file == Path::new("") => return Ok(None),
        (file, "") => std::fs::read_to_string(file)
            .with_context(|| format!("token_file: cannot read {}", file.display()))?,
        (file, variable) if file == Path::new("") => std::env::var(variable)
            .with_context(|| format!("token_variable: {variable:?} is not set"))?,
        _ => bail!("token_file and token_variable: set only one of them"),
    };
    let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    // The error's own text could show the token.
    let Ok(mut value) = value else { bail!("token: it has characters that a header cannot have") };
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Runs the job that delivers the messages of one webhook, until the server stops.
pub(crate) async fn deliver(context: JobContext, endpoint: WebhookEndpoint) {
    DeliveryWorker { context, endpoint, retry: RetryState::default() }.run().await;
}

/// The job that delivers the messages of one webhook.
struct DeliveryWorker {
    context: JobContext,
    endpoint: WebhookEndpoint,
    retry: RetryState,
}

impl DeliveryWorker {
    async fn run(mut self) {
        self.context.app.metrics.webhook_known(self.endpoint.name());
        let mut ticks = JobTicks::new(POLL_PERIOD, &self.context.stop);
        while ticks.next().await {
            if let Err(error) = self.send_due().await {
                let name = self.endpoint.name();
                tracing::warn!(webhook.name = name, %error, "webhook {name}: cannot read its messages: {error}");
            }
        }
        let _ = self.context.app.engine.release_webhook(self.endpoint.name()).await;
    }

    /// Sends all messages that are due, until the receiver has to be left alone for a while.
    async fn send_due(&mut self) -> Result<(), EngineError> {
        let engine = self.context.app.engine.clone();
        loop {
            let (waiting, due) = engine.count_waiting_notifications(self.endpoint.name()).await?;
            self.context.app.metrics.notifications_waiting(self.endpoint.name(), waiting);
            if !due || self.retry.rests(Instant::now()) || self.context.is_stopping() {
                return Ok(());
            }
            let messages = engine.list_due_notifications(self.endpoint.name()).await?;
            if messages.is_empty() {
                return Ok(());
            }
            let settled = self.send_all(messages).await;
            engine.record_deliveries(settled).await?;
        }
    }

    /// Sends messages one after the other, until one is not taken or it is time to store which ones were.
    async fn send_all(&mut self, mut messages: Vec<Notification>) -> DeliveryOutcome {
        let (mut settled, began) = (DeliveryOutcome::default(), Instant::now());
        let mut stop = self.context.stop.clone();
        while !messages.is_empty() && began.elapsed() < SETTLE_PERIOD {
            let chosen = self.retry.choose(messages.len());
            let message = messages.remove(chosen);
            let sent = tokio::select! {
                sent = self.send(&message) => sent,
                // The process that takes over sends the message again.
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match sent {
                Ok(()) => {
                    settled.delivered.push(message.id);
                    self.record_taken(chosen);
                }
                Err((cause, reason)) => {
                    // A message that was put off before is put off again at its first refusal.
                    let was_put_off = cause == FailureCause::Refused && message.times_postponed > 0;
                    if self.record_failure(cause, &reason) || was_put_off {
                        settled.postponed.push((message.id, self.postponement(&message)));
                    }
                    break;
                }
            }
        }
        settled
    }

    async fn send(&self, message: &Notification) -> Result<(), (FailureCause, String)> {
        let WebhookEndpoint { subscription, authorization, target, .. } = &self.endpoint;
        let subscription = subscription.clone().unwrap_or_else(|| {
            let (project, name) = (&message.repository.project, self.endpoint.name());
            format!("projects/{project}/subscriptions/{name}")
        });
        let uri = self.context.app.registry_uri(&message.repository);
        let envelope = message::envelope(message, &uri, &subscription).to_string();
        match target.post(envelope.into(), authorization.as_ref()).await {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => {
                let redirect =
                    if status.is_redirection() { "; redirects are not followed" } else { "" };
                Err((failure_cause(status), format!("it answered {}{redirect}", status.as_u16())))
            }
            Err(error @ SendError::Late) => Err((FailureCause::Refused, error.to_string())),
            Err(error @ (SendError::Refused(_) | SendError::Broken(_))) => {
                Err((FailureCause::Absent, error.to_string()))
            }
        }
    }

    fn record_taken(&mut self, chosen: usize) {
        let name = self.endpoint.name();
        self.context.app.metrics.notification_delivered(name);
        if let ControlFlow::Break(failures) = self.retry.record_taken(chosen) {
            tracing::info!(
                webhook.name = name,
                "webhook {name} takes messages again, after {failures} attempts"
            );
        }
    }

    /// Records a failed attempt. Returns whether other messages have to go first.
    fn record_failure(&mut self, cause: FailureCause, reason: &str) -> bool {
        let name = self.endpoint.name();
        self.context.app.metrics.notification_failed(name);
        let others_first = self.retry.record_failure(cause, Instant::now());
        if self.retry.has_just_begun_to_fail() {
            tracing::warn!(
                webhook.name = name,
                "webhook {name} does not take messages, which wait and are sent again: {reason}"
            );
        }
        others_first
    }

    /// Returns how long the message is put off, and logs it the first time.
    fn postponement(&self, message: &Notification) -> Duration {
        let (name, id) = (self.endpoint.name(), message.id);
        if message.times_postponed == 0 {
            tracing::warn!(
                webhook.name = name, message.id = %id,
                "webhook {name} takes other messages than {id}, which is sent again later"
            );
        }
        retry::postponement(message.times_postponed)
    }
}

/// Returns the cause that a status tells: it is about the message, or says that the receiver is not there or busy.
fn failure_cause(status: StatusCode) -> FailureCause {
    match status.as_u16() {
        429 | 502..=504 => FailureCause::Absent,
        _ => FailureCause::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(settings: &str, expected: &str) {
        let config: Config = toml::from_str(settings).expect("settings");
        let refused = WebhookEndpoint::read_all(&config, &EgressRules::default())
            .err()
            .expect("it cannot work");
        let refused = format!("{refused:#}");
        assert!(refused.starts_with("notifications") && refused.contains(expected), "{refused}");
    }

    #[test]
    fn what_cannot_work_is_named() {
        let with = |rest: &str| {
            format!(
                "[[notifications]]\nname = \"w\"\nurl = \"https://hooks.example.com\"\n{rest}\n"
            )
        };
        for name in ["", "a b", "a/b", &"a".repeat(256)] {
            check(&format!("[[notifications]]\nname = \"{name}\""), "name must have");
        }
        check("[[notifications]]\nname = \"w\"", "\"w\": url: is no URL");
        check(&with("token_file = \"/no/such/file\""), "token_file: cannot read /no/such/file");
        check(
            &with("token_variable = \"NO_SUCH_VARIABLE\""),
            "token_variable: \"NO_SUCH_VARIABLE\"",
        );
        check(&with("token_file = \"a\"\ntoken_variable = \"B\""), "set only one of them");
        check(&with("projects = [\"A B\"]"), "projects: \"A B\"");
        check(&with("repositories = [\"p/r\"]"), "repositories: \"p/r\"");
        check(&with("").repeat(2), "notifications.name \"w\" is used twice");
        let many: String =
            (0..=MAX_WEBHOOKS).map(|n| with("").replace("\"w\"", &format!("\"w{n}\""))).collect();
        check(&many, "more than 100");
    }
}

//! Tells webhooks what happened: pushes, tags and deletes, as Pub/Sub tells of changes in Artifact Registry.
//!
//! What there is to tell is in the database, written with each change; here it travels. Messages of a webhook go one
//! after the other, by one process at a time. What its receiver took is forgotten afterwards: a process that dies in
//! between leaves it to be sent again. Webhooks know nothing of each other.

mod message;
mod retry;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use engine::{DeliveryOutcome, EngineError, Notification, Webhook};
use http::{HeaderValue, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::retry::{FailureCause, RetryState};
use crate::config::{self, Config};
use crate::egress::{AllowList, EgressTarget, SendError};
use crate::jobs::ticks::JobTicks;
use web::app::App;

/// How often it is looked for something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After how long it is written down what was taken, and that this process still lives: well within its lease.
const SETTLE_EVERY: Duration = Duration::from_secs(2);

/// Webhooks beyond that would make each change a large one.
const MOST: usize = 100;

/// Somebody who is told, and how.
pub(crate) struct WebhookEndpoint {
    webhook: Webhook,
    /// What messages say that they come from, where the settings say so.
    subscription: Option<String>,
    authorization: Option<HeaderValue>,
    target: EgressTarget,
}

impl WebhookEndpoint {
    /// All of the settings. What cannot work is refused by the setting's name.
    pub(crate) fn all(config: &Config, allow: &Arc<AllowList>) -> anyhow::Result<Vec<Self>> {
        if config.notifications.len() > MOST {
            bail!("notifications: there are more than {MOST}");
        }
        let mut names = BTreeSet::new();
        let receiver = |(number, notification): (usize, &config::WebhookSettings)| {
            let receiver = Self::new(notification, allow);
            let name = &notification.name;
            let receiver = receiver
                .with_context(|| format!("notifications, number {}, {name:?}", number + 1))?;
            if !names.insert(name.clone()) {
                bail!("notifications.name {name:?} is there twice");
            }
            Ok(receiver)
        };
        config.notifications.iter().enumerate().map(receiver).collect()
    }

    fn new(notification: &config::WebhookSettings, allow: &Arc<AllowList>) -> anyhow::Result<Self> {
        let config::WebhookSettings { name, url, subscription, projects, repositories, .. } =
            notification;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 255 || !name.bytes().all(is_plain) {
            bail!("name must have 1 to 255 letters, digits, -, _ or .");
        }
        // The URL may hold a secret: the error says what is wrong, not where.
        let target = EgressTarget::new(url, allow).context("url")?;
        let webhook = Webhook {
            name: name.clone(),
            projects: parse_all("projects", projects)?,
            repositories: parse_all("repositories", repositories)?,
        };
        let subscription = Some(subscription.clone()).filter(|text| !text.is_empty());
        Ok(Self { webhook, subscription, authorization: authorization(notification)?, target })
    }

    /// What the engine has to know of it.
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

/// The header with the token, which nothing prints.
fn authorization(notification: &config::WebhookSettings) -> anyhow::Result<Option<HeaderValue>> {
    let config::WebhookSettings { token_file, token_variable, .. } = notification;
    let token = match (token_file.as_path(), token_variable.as_str()) {
        (file, "") if file == Path::new("") => return Ok(None),
        (file, "") => std::fs::read_to_string(file)
            .with_context(|| format!("token_file: cannot read {}", file.display()))?,
        (file, variable) if file == Path::new("") => std::env::var(variable)
            .with_context(|| format!("token_variable: {variable:?} is not set"))?,
        _ => bail!("token_file and token_variable: there is one token"),
    };
    let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    // Not with the reason, which could show the token.
    let Ok(mut value) = value else { bail!("token: it holds what cannot stand in a header") };
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Starts telling everybody. It ends when `stop` says so.
pub(crate) fn start(
    (app, receivers): (&App, Vec<WebhookEndpoint>),
    stop: &watch::Receiver<bool>,
    jobs: &mut JoinSet<()>,
) {
    for receiver in receivers {
        let (app, stop) = (app.clone(), stop.clone());
        jobs.spawn(DeliveryWorker { app, receiver, course: RetryState::default(), stop }.run());
    }
}

/// The work for one webhook.
struct DeliveryWorker {
    app: App,
    receiver: WebhookEndpoint,
    course: RetryState,
    stop: watch::Receiver<bool>,
}

impl DeliveryWorker {
    async fn run(mut self) {
        self.app.metrics.webhook_known(self.receiver.name());
        let mut ticks = JobTicks::new(LOOK_EVERY, &self.stop);
        while ticks.next().await {
            if let Err(error) = self.tell().await {
                let name = self.receiver.name();
                tracing::warn!(webhook.name = name, %error, "webhook {name}: cannot see what there is to tell: {error}");
            }
        }
        let _ = self.app.engine.release_webhook(self.receiver.name()).await;
    }

    /// Tells everything that is due, or until the receiver is to be left alone for a while.
    async fn tell(&mut self) -> Result<(), EngineError> {
        let engine = self.app.engine.clone();
        loop {
            let (waiting, due) = engine.count_waiting_notifications(self.receiver.name()).await?;
            self.app.metrics.notifications_waiting(self.receiver.name(), waiting);
            if !due || self.course.rests(Instant::now()) || *self.stop.borrow() {
                return Ok(());
            }
            let messages = engine.list_due_notifications(self.receiver.name()).await?;
            if messages.is_empty() {
                return Ok(());
            }
            let settled = self.send_all(messages).await;
            engine.record_deliveries(settled).await?;
        }
    }

    /// Sends messages one after the other, until one is not taken or it is time to write down which were.
    async fn send_all(&mut self, mut left: Vec<Notification>) -> DeliveryOutcome {
        let (mut settled, began) = (DeliveryOutcome::default(), Instant::now());
        let mut stop = self.stop.clone();
        while !left.is_empty() && began.elapsed() < SETTLE_EVERY {
            let chosen = self.course.choose(left.len());
            let message = left.remove(chosen);
            let sent = tokio::select! {
                sent = self.send(&message) => sent,
                // It is sent again by whoever comes next.
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match sent {
                Ok(()) => {
                    settled.taken.push(message.id);
                    self.taken(chosen);
                }
                Err((cause, why)) => {
                    // One that was put off before has had its patience.
                    let again = cause == FailureCause::Refused && message.times_postponed > 0;
                    if self.failed(cause, &why) || again {
                        settled.put_off.push((message.id, self.put_off(&message)));
                    }
                    break;
                }
            }
        }
        settled
    }

    async fn send(&self, message: &Notification) -> Result<(), (FailureCause, String)> {
        let WebhookEndpoint { subscription, authorization, target, .. } = &self.receiver;
        let subscription = subscription.clone().unwrap_or_else(|| {
            let (project, name) = (&message.repository.project, self.receiver.name());
            format!("projects/{project}/subscriptions/{name}")
        });
        let uri = self.app.registry_uri(&message.repository);
        let envelope = message::envelope(message, &uri, &subscription).to_string();
        match target.post(envelope.into(), authorization.as_ref()).await {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => {
                let followed =
                    if status.is_redirection() { "; redirects are not followed" } else { "" };
                Err((cause(status), format!("it answered {}{followed}", status.as_u16())))
            }
            Err(error @ SendError::Late) => Err((FailureCause::Refused, error.to_string())),
            Err(error @ (SendError::Refused(_) | SendError::Broken(_))) => {
                Err((FailureCause::Absent, error.to_string()))
            }
        }
    }

    fn taken(&mut self, chosen: usize) {
        let name = self.receiver.name();
        self.app.metrics.notification_delivered(name);
        if let ControlFlow::Break(failures) = self.course.taken(chosen) {
            tracing::info!(
                webhook.name = name,
                "webhook {name} takes messages again, after {failures} attempts"
            );
        }
    }

    /// Answers whether the others are to go before the message.
    fn failed(&mut self, cause: FailureCause, why: &str) -> bool {
        let name = self.receiver.name();
        self.app.metrics.notification_failed(name);
        let others_first = self.course.failed(cause, Instant::now());
        if self.course.has_just_begun_to_fail() {
            tracing::warn!(
                webhook.name = name,
                "webhook {name} does not take messages, which wait and are sent again: {why}"
            );
        }
        others_first
    }

    /// How long a message is put off.
    fn put_off(&self, message: &Notification) -> Duration {
        let (name, id) = (self.receiver.name(), message.id);
        if message.times_postponed == 0 {
            tracing::warn!(
                webhook.name = name, message.id = %id,
                "webhook {name} takes other messages than {id}, which is sent again later"
            );
        }
        retry::later(message.times_postponed)
    }
}

/// Whether an answer tells of the message, or only that its receiver is not there or busy.
fn cause(status: StatusCode) -> FailureCause {
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
        let refused = WebhookEndpoint::all(&config, &Arc::default()).err().expect("it cannot work");
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
        check(&with("token_file = \"a\"\ntoken_variable = \"B\""), "there is one token");
        check(&with("projects = [\"A B\"]"), "projects: \"A B\"");
        check(&with("repositories = [\"p/r\"]"), "repositories: \"p/r\"");
        check(&with("").repeat(2), "notifications.name \"w\" is there twice");
        let many: String =
            (0..=MOST).map(|n| with("").replace("\"w\"", &format!("\"w{n}\""))).collect();
        check(&many, "more than 100");
    }
}

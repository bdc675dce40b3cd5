//! What runs beside the requests: collecting, cleaning, and writing down what was counted.

pub(crate) mod ticks;

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{GcMode, ScrubScope};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::{Config, DurationSetting};
use crate::listen::tls::ServerTls;
use crate::notifications::{self, WebhookEndpoint};
use ticks::{JobTicks, unless_stopped};
use web::app::App;

/// How often pulls are written down and sizes are folded.
const COUNT_EVERY: Duration = Duration::from_secs(30);

/// How often it is looked whether another process changed who may do what, or took tokens back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether copies are due to be checked.
const SCRUB_EVERY: Duration = Duration::from_secs(60);

/// How often the certificate's files are looked at.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// Starts the jobs. They end when `stop` says so, each after the step that it is at.
pub(crate) fn start(
    (app, tls, receivers): (&App, Option<ServerTls>, Vec<WebhookEndpoint>),
    config: &Config,
    stop: &watch::Receiver<bool>,
) -> JoinSet<()> {
    // An interval of zero would never rest.
    let at_least = |interval: DurationSetting| interval.get().max(Duration::from_millis(100));
    let (gc_every, cleanup_every) =
        (at_least(config.gc.interval), at_least(config.cleanup.interval));
    let mut jobs = JoinSet::new();
    let (counting, mut ticks) = (app.clone(), JobTicks::new(COUNT_EVERY, stop));
    jobs.spawn(async move {
        // The figures of a server that has just started are not nothing.
        measure(&counting).await;
        while ticks.next().await {
            count(&counting).await;
        }
    });
    if let Some(tls) = tls {
        let (metrics, mut ticks) = (app.metrics.clone(), JobTicks::new(RENEW_EVERY, stop));
        jobs.spawn(async move {
            loop {
                if let Some(expires_at) = tls.expires_at() {
                    metrics.set_certificate_expiry(tls.certificate(), expires_at);
                }
                if !ticks.next().await {
                    break;
                }
                let tls = tls.clone();
                let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
            }
        });
    }
    let (looking, mut ticks) = (app.clone(), JobTicks::new(LOOK_EVERY, stop));
    jobs.spawn(async move {
        while ticks.next().await {
            let looked = looking.engine.identity().poll_epoch().await.map(drop);
            if let Err(error) = looked.and(looking.engine.identity().poll_revocations().await) {
                tracing::warn!(%error, "cannot see whether rights have changed: {error}");
            }
        }
    });
    let (collecting, mut ticks) = (app.clone(), JobTicks::new(gc_every, stop));
    jobs.spawn(async move {
        while ticks.next().await {
            collect(&collecting, &ticks.stop).await;
        }
    });
    let (cleaning, mut ticks) = (app.clone(), JobTicks::new(cleanup_every, stop));
    jobs.spawn(async move {
        while ticks.next().await {
            clean(&cleaning, cleanup_every, &ticks.stop).await;
        }
    });
    start_checks(app, config, stop, &mut jobs);
    notifications::start((app, receivers), stop, &mut jobs);
    jobs
}

/// Starts what looks after the stores and the copies in them.
fn start_checks(app: &App, config: &Config, stop: &watch::Receiver<bool>, jobs: &mut JoinSet<()>) {
    let (watching, mut ticks) = (app.clone(), JobTicks::new(LOOK_EVERY, stop));
    jobs.spawn(async move {
        while ticks.next().await {
            let _ = watching.engine.look_at_stores().await;
            watching.metrics.set_stores(watching.engine.stores_present());
        }
    });
    let (scrubbing, mut ticks) = (app.clone(), JobTicks::new(SCRUB_EVERY, stop));
    let rate = config.blobs.scrub_rate.get() as u64;
    jobs.spawn(async move {
        count_copies(&scrubbing).await;
        while ticks.next().await {
            scrub(&scrubbing, rate, &ticks.stop).await;
            count_copies(&scrubbing).await;
        }
    });
}

/// Waits for jobs that were told to stop, but not for ever. They can be cut anywhere, as a crash could.
pub(crate) async fn end(mut jobs: JoinSet<()>, deadline: Instant) {
    let ended = async { while jobs.join_next().await.is_some() {} };
    if timeout_at(deadline, ended).await.is_err() {
        tracing::warn!("jobs were cut: they did not end within the drain time");
        jobs.shutdown().await;
    }
}

async fn collect(app: &App, stop: &watch::Receiver<bool>) {
    match app.engine.collect(GcMode::Collect, |_| unless_stopped(stop)).await {
        Ok(report) => app.metrics.files_collected(report.files, report.bytes),
        Err(error) => tracing::warn!(%error, "collection stopped and will be repeated: {error}"),
    }
    forget_notifications(app, stop).await;
}

/// Checks the copies that are due.
async fn scrub(app: &App, rate: u64, stop: &watch::Receiver<bool>) {
    if rate == 0 {
        return;
    }
    let scrubbed = app.engine.scrub(ScrubScope::Due, rate, |_| unless_stopped(stop));
    if let Err(error) = scrubbed.await {
        tracing::warn!(%error, "the scrub stopped and will go on: {error}");
    }
}

/// Sets the gauges of what is known of all copies.
async fn count_copies(app: &App) {
    match app.engine.check_state().await {
        Ok((quarantined, oldest)) => app.metrics.set_copies(quarantined, oldest),
        Err(error) => tracing::debug!(%error, "copies could not be counted: {error}"),
    }
}

/// Forgets messages that nobody took in time.
async fn forget_notifications(app: &App, stop: &watch::Receiver<bool>) {
    let mut counts = BTreeMap::<String, u64>::new();
    while unless_stopped(stop).is_continue() {
        match app.engine.forget_notifications().await {
            Ok(forgotten) if forgotten.is_empty() => break,
            Ok(forgotten) => {
                forgotten.into_iter().for_each(|webhook| *counts.entry(webhook).or_default() += 1);
            }
            Err(error) => {
                tracing::warn!(%error, "old messages for webhooks could not be forgotten yet: {error}");
                break;
            }
        }
    }
    for (webhook, count) in counts {
        app.metrics.notifications_dropped(&webhook, count);
        tracing::warn!(
            webhook.name = webhook.as_str(),
            count,
            "webhook {webhook}: {count} messages are lost that it did not take for seven days"
        );
    }
}

async fn clean(app: &App, interval: Duration, stop: &watch::Receiver<bool>) {
    let cleaned = app.engine.clean_due(interval, |repository, step| {
        app.audit.record_cleanup(repository, step);
        unless_stopped(stop)
    });
    if let Err(error) = cleaned.await {
        tracing::warn!(%error, "cleanup stopped and will be repeated: {error}");
    }
}

async fn count(app: &App) {
    let engine = &app.engine;
    if let Err(error) = engine.flush_pulls().await {
        tracing::warn!(%error, "pulls could not be written down yet: {error}");
    }
    if let Err(error) = engine.fold_usage().await {
        tracing::warn!(%error, "sizes could not be folded yet: {error}");
    }
    measure(app).await;
}

/// Sets the gauges of what the registry holds, and of its disk.
async fn measure(app: &App) {
    if let Some(room) = app.engine.disk_room().await {
        app.metrics.set_disk(&room);
    }
    match app.engine.capacity().await {
        Ok(capacity) => app.metrics.set_capacity(&capacity),
        Err(error) => tracing::warn!(%error, "what waits could not be counted: {error}"),
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

//! The scrub: due copies, their order, and one process at a time.

use std::ops::ControlFlow;

use berth_engine::{EngineError, Pull, ScrubReport, ScrubScope};
use blob::BlobError;
use blob::faulty::FaultStep;

use crate::registry::TestRegistry;

async fn scrub_due(registry: &TestRegistry) -> ScrubReport {
    let scrubbed = registry.engine.scrub(ScrubScope::Due, 0, |_| ControlFlow::Continue(())).await;
    scrubbed.expect("it works")
}

#[tokio::test]
async fn a_due_copy_is_checked_once() {
    let registry = TestRegistry::with_settings(|settings| {
        settings.verify_after = std::time::Duration::from_secs(3600)
    })
    .await;
    registry.push_blob(b"first").await;
    registry.clock.advance_minutes(40);
    registry.push_blob(b"second").await;
    assert_eq!(scrub_due(&registry).await.checked, 0);
    registry.clock.advance_minutes(30);
    let report = scrub_due(&registry).await;
    assert_eq!((report.checked, report.sound, report.bytes), (1, 1, 5));
    assert_eq!(scrub_due(&registry).await.checked, 0);
    registry.clock.advance_minutes(40);
    assert_eq!(scrub_due(&registry).await.bytes, 6, "the second one");
    let oldest = registry.engine.summarize_checks().await.expect("readable");
    assert_eq!(oldest.0, 0);
    assert!(oldest.1.is_some_and(|oldest| oldest > 0));
}

#[tokio::test]
async fn an_unreadable_copy_is_set_aside_and_comes_back() {
    let registry = TestRegistry::new().await;
    let digest = registry.push_blob(b"content").await;
    registry.clock.advance_minutes(8 * 24 * 60);
    let eio = || BlobError::Io(std::io::Error::from_raw_os_error(5));
    registry.faults.add(FaultStep::Read, 0, eio);
    let report = scrub_due(&registry).await;
    assert_eq!((report.checked, report.unreadable), (1, 1));
    assert_eq!(registry.engine.summarize_checks().await.expect("readable").0, 1);
    // Copies that were set aside are checked again when they are due.
    assert_eq!(scrub_due(&registry).await.checked, 0);
    registry.clock.advance_minutes(8 * 24 * 60);
    assert_eq!(scrub_due(&registry).await.sound, 1);
    assert_eq!(registry.engine.summarize_checks().await.expect("readable").0, 0);
    registry.open_access::<Pull>().await.open_blob(&digest).await.expect("it is served again");
}

/// A missing copy of a store that is away is not checked.
#[tokio::test]
async fn a_store_that_is_away_ends_the_scrub_and_blames_no_copy() {
    let registry = TestRegistry::new().await;
    let digest = registry.push_blob(b"content").await;
    registry.clock.advance_minutes(8 * 24 * 60);
    registry.faults.add(FaultStep::Open, 0, || BlobError::NotFound);
    registry
        .faults
        .add(FaultStep::CheckPlace, 0, || BlobError::StoreMissing("elsewhere".to_owned()));
    let ended = registry.engine.scrub(ScrubScope::Due, 0, |_| ControlFlow::Continue(())).await;
    assert!(matches!(ended, Err(EngineError::StoreAway(_))), "{ended:?}");
    registry.open_access::<Pull>().await.open_blob(&digest).await.expect("nobody doubts it");
    assert_eq!(scrub_due(&registry).await.sound, 1);
}

/// The scrub does not start while another process has the lease.
#[tokio::test]
async fn one_process_scrubs_at_a_time() {
    let registry = TestRegistry::new().await;
    registry.push_blob(b"content").await;
    registry.clock.advance_minutes(8 * 24 * 60);
    let now = identity::Clock::now(&*registry.clock);
    let taken = registry.meta.write(move |tx| {
        meta::leases::acquire(tx, "scrub", "another process", now, now + 60_000_000)
    });
    assert!(taken.await.expect("writable").is_some());
    assert!(scrub_due(&registry).await.busy);
    registry.clock.advance_minutes(2);
    assert_eq!(scrub_due(&registry).await.sound, 1);
}

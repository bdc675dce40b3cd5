//! Limits of the bytes that are fetched from a host in a second (the setting `upstream.bandwidth`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::config::UpstreamSettings;
use crate::egress::{Url, is_named_by};

/// The lowest limit. Layers that all places of a host fetch at once still come as fast as the engine wants them: a layer
/// that takes more than a second for each 64 KiB fails.
const MIN_BYTES_PER_SECOND: usize = 2 << 20;

/// The limits of the settings, each with the name of its host.
#[derive(Debug, Default)]
pub(crate) struct BandwidthLimits(Vec<(String, Arc<HostBandwidth>)>);

/// The limit of one host. All fetches of this process from the host share it, in the order in which their bytes come.
#[derive(Debug)]
pub(super) struct HostBandwidth {
    bytes_per_second: usize,
    /// The time at which all bytes that came so far are within the limit.
    free_at: Mutex<Instant>,
}

impl BandwidthLimits {
    /// Reads the settings.
    ///
    /// # Errors
    /// Fails if a limit is lower than 2 MiB, and names the host.
    pub(crate) fn read(upstreams: &[UpstreamSettings]) -> anyhow::Result<Self> {
        let limited = upstreams.iter().filter_map(|upstream| {
            let bandwidth = upstream.bandwidth?.get();
            Some((upstream.host.clone(), bandwidth))
        });
        let read = |(host, bytes_per_second): (String, usize)| {
            anyhow::ensure!(
                bytes_per_second >= MIN_BYTES_PER_SECOND,
                "upstream.bandwidth of {host:?} must be at least 2MiB: it is for all layers that are fetched at once"
            );
            Ok((host, Arc::new(HostBandwidth::new(bytes_per_second))))
        };
        limited.map(read).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Returns the limit of the host of a URL.
    pub(super) fn of(&self, url: &Url) -> Option<Arc<HostBandwidth>> {
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let limit = self.0.iter().find(|(name, _)| is_named_by(host, port, name));
        limit.map(|(_, limit)| limit.clone())
    }
}

impl HostBandwidth {
    fn new(bytes_per_second: usize) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until bytes that have come are within the limit. Meanwhile the host sends no more than the buffers of the
    /// connection hold.
    pub(super) async fn wait(&self, bytes: usize) {
        sleep(self.take(bytes, Instant::now())).await;
    }

    /// Counts bytes that have come, and returns how long they have to wait. A time in which nothing came is not made up
    /// for.
    fn take(&self, bytes: usize, now: Instant) -> Duration {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(now) + time;
        *free_at - now
    }
}

#[cfg(test)]
mod tests {
    use web::units::MemorySetting;

    use super::*;

    const MIB: usize = 1 << 20;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_wait_for_those_before_them() {
        let limit = HostBandwidth::new(4 * MIB);
        let now = Instant::now();
        assert_eq!(limit.take(4 * MIB, now), SECOND);
        assert_eq!(limit.take(2 * MIB, now), SECOND * 3 / 2);
        assert_eq!(limit.take(2 * MIB, now + SECOND), SECOND);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let limit = HostBandwidth::new(4 * MIB);
        let later = Instant::now() + 60 * SECOND;
        assert_eq!(limit.take(4 * MIB, later), SECOND);
        assert_eq!(limit.take(4 * MIB, later), 2 * SECOND);
    }

    #[test]
    fn limits_are_read_by_host() {
        let upstream = |host: &str, mebibytes| UpstreamSettings {
            host: host.to_owned(),
            bandwidth: Some(MemorySetting::mebibytes(mebibytes)),
            ..UpstreamSettings::default()
        };
        let settings = [upstream("Registry.test:5000", 2), upstream("every.test", 2)];
        let limits = BandwidthLimits::read(&settings).expect("limits");
        for (url, is_limited) in [
            ("https://registry.test:5000/v2/", true),
            ("https://registry.test/v2/", false),
            ("https://every.test/v2/", true),
            ("https://every.test:443/v2/", true),
            ("http://EVERY.test:5000/v2/", true),
            ("https://not.every.test/v2/", false),
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(limits.of(&url).is_some(), is_limited, "{url}");
        }
        let error = BandwidthLimits::read(&[upstream("registry.test", 1)]).expect_err("too low");
        assert!(error.to_string().contains("at least 2MiB"), "{error}");
    }
}

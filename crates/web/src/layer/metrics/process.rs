//! The metrics of the process that Prometheus' own client libraries have, read from `/proc` at each scrape.
//!
//! The names are Prometheus' convention, without the prefix of this program. A value that cannot be read is left out.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Reads the metrics of the process at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector;

/// The values of one scrape.
#[derive(Debug, PartialEq)]
struct ProcessFigures {
    cpu_seconds: f64,
    /// The time between the machine's start and the process's, in seconds.
    started: f64,
    virtual_bytes: i64,
    resident_bytes: i64,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut write = |name, help, unit: Option<Unit>, metric: &dyn EncodeMetric| {
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, unit.as_ref(), kind)?)
        };
        let (bytes, seconds) = (|| Some(Unit::Bytes), || Some(Unit::Seconds));
        let stat = fs::read_to_string("/proc/self/stat").ok();
        if let Some(figures) = stat.as_deref().and_then(figures) {
            let ProcessFigures { cpu_seconds, started, virtual_bytes, resident_bytes } = figures;
            let used = ConstCounter::new(cpu_seconds);
            write("process_cpu", "Processor time that was used", seconds(), &used)?;
            let mapped = ConstGauge::new(virtual_bytes);
            write("process_virtual_memory", "Memory that is mapped", bytes(), &mapped)?;
            let resident = ConstGauge::new(resident_bytes);
            write("process_resident_memory", "Memory that is in use", bytes(), &resident)?;
            if let Some(booted) = booted_at() {
                let started = ConstGauge::new(booted + started);
                let help = "When the process started, in seconds since 1970";
                write("process_start_time", help, seconds(), &started)?;
            }
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // One descriptor is open only to read this folder.
            let open = ConstGauge::new(as_gauge(descriptors.count() as u64) - 1);
            write("process_open_fds", "Open descriptors", None, &open)?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let most = ConstGauge::new(as_gauge(most));
            write("process_max_fds", "The most descriptors that may be open", None, &most)?;
        }
        Ok(())
    }
}

fn as_gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads a line of `/proc/PID/stat` (proc(5)). The program's name, in parentheses, may hold anything.
fn figures(stat: &str) -> Option<ProcessFigures> {
    let (_, rest) = stat.rsplit_once(')')?;
    // The first field behind the name is the third of the line.
    let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
    Some(ProcessFigures {
        cpu_seconds: seconds(field(14)? + field(15)?),
        started: seconds(field(22)?),
        virtual_bytes: as_gauge(field(23)?),
        resident_bytes: as_gauge(field(24)?.saturating_mul(page_size() as u64)),
    })
}

/// Returns the time at which the machine started, in seconds since 1970.
fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 4200 1048576 25 \
                    18446744073709551615 1 1";
        let (ticks, page) = (clock_ticks_per_second() as f64, page_size() as i64);
        let expected = ProcessFigures {
            cpu_seconds: 200.0 / ticks,
            started: 4200.0 / ticks,
            virtual_bytes: 1_048_576,
            resident_bytes: 25 * page,
        };
        assert_eq!(figures(line), Some(expected));
        assert_eq!(figures("7 (berth) S 1"), None);
        assert_eq!(figures(""), None);
    }
}

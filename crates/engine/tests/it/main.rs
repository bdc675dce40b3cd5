//! The engine on its real stores, without HTTP: failing stores and concurrent requests.

mod cleanup;
mod counters;
mod counts;
mod delete;
mod faults;
mod gc;
mod history;
mod registry;
mod scrub;
mod uploads;

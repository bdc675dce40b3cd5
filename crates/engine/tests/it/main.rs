//! The engine on its real stores, asked without HTTP: what a failing store leads to, and requests that cross.

mod cleanup;
mod counts;
mod delete;
mod faults;
mod gc;
mod registry;
mod scrub;
mod uploads;

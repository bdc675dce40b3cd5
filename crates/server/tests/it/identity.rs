//! Accounts, policies and projects, as clients of Google's APIs meet them.

mod bad_input;
mod bad_names;
mod custom_roles;
mod googles_paths;
mod long_uploads;
mod refusals;
mod tokens;

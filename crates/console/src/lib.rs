//! The web console: pages for people, below `/console/`.
//!
//! Every page is HTML that the server renders. Pages can be read, and forms sent, without script. The console reads the
//! cookie of a person's session, which no other door looks at, and asks `engine` and `identity` with that person's
//! rights.
//!
//! - `route`: the paths of the console; `address`: the host that it is at;
//! - `request`: a request with its viewer; `session` and `csrf` say who that is and what a form must prove;
//! - `pages`: one file for each page, with its template in `templates/`;
//! - `commands`: the commands that say the same as a page;
//! - `html`: the parts of pages that several templates share;
//! - `texts`: every text of the console, in each language.

mod address;
mod assets;
mod commands;
mod csrf;
mod csv;
mod error;
mod error_page;
mod form;
mod frame;
mod front_door;
mod handlers;
mod html;
mod links;
mod next_page;
mod page;
mod pages;
mod query;
mod request;
mod route;
mod session;
mod texts;

pub use front_door::is_page_request;
pub use handlers::{by_path, front_door, home};
pub use route::ROUTES;

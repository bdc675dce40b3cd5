//! The address of the console. Cookies, and what a browser proves about a form, hold for one host, so that the console has
//! one: that of `external_url`, if it is set.

use http::request::Parts;
use model::registry_host::without_port;
use web::app::App;
use web::auth::Authenticator;
use web::layer::own_names::is_local;
use web::server_url::RequestArrival;

/// The address of the console for the sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsoleAddress {
    /// The scheme and the host.
    pub(crate) url: String,
    /// False if the request named another one of the configured hosts.
    pub(crate) is_here: bool,
}

impl ConsoleAddress {
    /// Returns the address of the console for the sender of a request.
    ///
    /// A host that is not configured counts as the console's own: a proxy may name the server by an address that only
    /// the proxy knows, and would be led in a circle.
    pub(crate) fn of(app: &App, parts: &Parts) -> Self {
        let arrival = RequestArrival::of(parts);
        if let Some(url) = development_url(app, &arrival) {
            return Self { url, is_here: true };
        }
        let named = app.own_url(&arrival);
        match app.origin.external() {
            Some(url) if !is_development(app) => Self { is_here: url == named, url },
            Some(_) | None => Self { url: named, is_here: true },
        }
    }
}

/// Returns whether everybody may do everything. Nobody signs in then, and the console is at every address of the machine.
pub(crate) fn is_development(app: &App) -> bool {
    matches!(app.authenticate, Authenticator::Dev)
}

/// Returns the address of this machine that a request with `--dev` named. Its port may be one that leads to this server
/// from outside a container.
fn development_url(app: &App, arrival: &RequestArrival) -> Option<String> {
    let names = app.dev_hosts.as_deref().unwrap_or_default();
    let is_own = is_development(app) && is_local(without_port(arrival.host()), names);
    is_own.then(|| format!("{}://{}", app.origin.scheme(), arrival.host()))
}

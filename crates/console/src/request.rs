//! A request for a page, with its viewer.

use std::net::IpAddr;
use std::sync::Arc;

use engine::{Engine, EngineError, Repository};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use identity::{
    Authorized, Caller, ChangeWay, Identity, IdentityError, SessionDevice, SessionUse,
    SignedInPerson,
};
use model::name::{Location, RepositoryName};
use model::permission::Permission;
use model::permissions::artifactregistry;
use model::registry_host::without_port;
use model::resource::Resource;
use web::app::App;
use web::audit::AuditRecorder;
use web::layer::own_names::is_local;
use web::layer::{PASSWORD_PATH, RequestInfo};

use crate::address::{ConsoleAddress, is_development};
use crate::assets;
use crate::csrf::{self, FormKey};
use crate::error::ConsoleError;
use crate::frame::{Frame, LanguageLink};
use crate::links::{Link, Links, ROOT};
use crate::query::Fields;
use crate::session::{self, Message};
use crate::texts::{self, LANGUAGES, Texts};

/// The viewer of a page.
#[derive(Debug, Clone)]
pub(crate) enum Viewer {
    /// With `--dev`, everybody on this machine.
    Developer(Caller),
    /// A person with a session.
    SignedIn(SignedInPerson),
    /// A person without a session.
    SignedOut(Caller),
}

impl Viewer {
    /// Finds out who sends a request.
    async fn of(app: &App, headers: &HeaderMap, usage: SessionUse) -> Result<Self, ConsoleError> {
        let identity = app.engine.identity();
        if is_development(app) {
            // Every credential is the developer's, and none is needed.
            let audience = identity::TokenAudience::Registry;
            let caller = app.authenticate.caller(identity, &HeaderMap::new(), audience).await?;
            return Ok(Self::Developer(caller.with_way(ChangeWay::Console)));
        }
        let signed_out = Self::SignedOut(Caller::anonymous().with_way(ChangeWay::Console));
        let Some(secret) = session::cookie(headers, session::SESSION) else {
            return Ok(signed_out);
        };
        match identity.session(secret, usage).await {
            Ok(mut person) => {
                person.caller = person.caller.with_way(ChangeWay::Console);
                Ok(Self::SignedIn(person))
            }
            Err(IdentityError::Credential(_)) => Ok(signed_out),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn caller(&self) -> &Caller {
        match self {
            Self::Developer(caller) | Self::SignedOut(caller) => caller,
            Self::SignedIn(person) => &person.caller,
        }
    }

    pub(crate) fn is_signed_out(&self) -> bool {
        matches!(self, Self::SignedOut(_))
    }

    /// Returns the name that the frame shows.
    fn name(&self) -> Option<String> {
        match self {
            Self::Developer(caller) => Some(name_of(caller)),
            Self::SignedIn(person) => Some(person.email.clone()),
            Self::SignedOut(_) => None,
        }
    }
}

/// Returns a principal without the word before its address.
fn name_of(caller: &Caller) -> String {
    let principal = caller.principal.to_string();
    principal.split_once(':').map_or(principal.clone(), |(_, name)| name.to_owned())
}

/// The token of a form, and the cookie that the browser still needs for it.
pub(crate) struct FormCookie {
    pub(crate) form_token: String,
    pub(crate) cookie: Option<HeaderValue>,
}

/// A request for a page, without its body.
pub(crate) struct ConsoleRequest {
    pub(crate) app: App,
    pub(crate) viewer: Viewer,
    pub(crate) texts: Texts,
    pub(crate) query: Fields,
    pub(crate) links: Links,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// The scheme and host of the console, as the viewer's browser knows them.
    pub(crate) address: ConsoleAddress,
    /// The path with the query, to which the viewer comes back: after a form, the page about what the form is about.
    pub(crate) here: String,
    /// The number by which the log knows the request.
    pub(crate) id: String,
    /// The recorder of the audit log.
    pub(crate) trail: AuditRecorder,
    /// The address of the viewer's machine.
    client: Option<IpAddr>,
    /// True if the browser sent a cookie from which the tokens of forms are made.
    has_secret: bool,
    form_key: FormKey,
    message: Option<Message>,
}

impl ConsoleRequest {
    /// Finds out who sends the request.
    pub(crate) async fn new(
        app: App,
        parts: &Parts,
        address: ConsoleAddress,
        trail: &AuditRecorder,
    ) -> Result<Self, ConsoleError> {
        let info = parts.extensions.get::<Arc<RequestInfo>>();
        let usage = match is_prefetch(&parts.headers) {
            true => SessionUse::Prefetch,
            false => SessionUse::Page,
        };
        let viewer = Viewer::of(&app, &parts.headers, usage).await?;
        trail.note_caller(viewer.caller());
        if let Some(info) = info {
            info.set_principal(&viewer.caller().principal);
        }
        let secret = session::cookie(&parts.headers, session::SESSION)
            .or_else(|| session::cookie(&parts.headers, session::FORM));
        Ok(Self {
            viewer,
            texts: language_of(&parts.headers),
            query: Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            links: Links::new(app.domains.default_location().clone()),
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            address,
            here: return_address(parts),
            id: info.map(|info| info.id().to_owned()).unwrap_or_default(),
            trail: trail.clone(),
            client: info.map(|info| info.client()),
            has_secret: secret.is_some(),
            form_key: FormKey::of(secret.unwrap_or_default()),
            message: Message::read(&parts.headers),
            app,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.app.engine
    }

    pub(crate) fn identity(&self) -> &Identity {
        self.app.engine.identity()
    }

    pub(crate) fn caller(&self) -> &Caller {
        self.viewer.caller()
    }

    /// Returns whether the viewer's browser speaks https.
    pub(crate) fn is_https(&self) -> bool {
        self.address.url.starts_with("https://")
    }

    /// Returns whether the page shows what a form has done.
    pub(crate) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// Returns the viewer's session, if there is one.
    pub(crate) fn session(&self) -> Option<&SignedInPerson> {
        match &self.viewer {
            Viewer::SignedIn(person) => Some(person),
            Viewer::Developer(_) | Viewer::SignedOut(_) => None,
        }
    }

    /// Returns the device that the request came from.
    pub(crate) fn device(&self) -> SessionDevice {
        let agent =
            self.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        SessionDevice { address: self.client, agent: agent.unwrap_or_default().to_owned() }
    }

    /// Returns whether the viewer's browser keeps the cookies of the console: over https, or on the machine itself.
    pub(crate) fn keeps_cookies(&self) -> bool {
        let host = self.address.url.split_once("://").map_or("", |(_, host)| host);
        self.is_https() || is_local(without_port(host), &[])
    }

    /// Returns the token for a form that somebody without a session sends, and the cookie that it belongs to, unless
    /// the browser has one.
    pub(crate) fn form_cookie(&self) -> FormCookie {
        if self.has_secret {
            return FormCookie { form_token: self.form_key.token(), cookie: None };
        }
        let secret = csrf::new_secret();
        let form_token = FormKey::of(&secret).token();
        FormCookie { form_token, cookie: Some(session::set(session::FORM, &secret, None)) }
    }

    pub(crate) fn form_key(&self) -> &FormKey {
        &self.form_key
    }

    /// Returns the proof that the viewer has a permission.
    ///
    /// # Errors
    /// Without the permission, a viewer who is signed out is asked to sign in; for any other, there is nothing here.
    pub(crate) async fn authorize(
        &self,
        permission: Permission,
        resource: Resource,
    ) -> Result<Authorized, ConsoleError> {
        self.admit(self.caller(), permission, resource).await
    }

    async fn admit(
        &self,
        caller: &Caller,
        permission: Permission,
        resource: Resource,
    ) -> Result<Authorized, ConsoleError> {
        let name = resource.to_string();
        let admitted = self.identity().admit(caller, permission, resource).await;
        let admitted = admitted.map_err(EngineError::from);
        self.trail.note_check(permission, &name, &admitted);
        admitted.map_err(|error| match ConsoleError::from(error) {
            ConsoleError::NotFound if self.viewer.is_signed_out() => ConsoleError::SignIn,
            error => error,
        })
    }

    /// Returns the proof that the viewer has a permission to change what the viewer may see.
    pub(crate) async fn authorize_change(
        &self,
        permission: Permission,
        resource: Resource,
    ) -> Result<Authorized, ConsoleError> {
        self.authorize_change_by(permission, resource, ChangeWay::Console).await
    }

    /// Does the same for a change that comes by a way of its own.
    pub(crate) async fn authorize_change_by(
        &self,
        permission: Permission,
        resource: Resource,
        way: ChangeWay,
    ) -> Result<Authorized, ConsoleError> {
        let caller = self.caller().clone().with_way(way);
        let admitted = self.admit(&caller, permission, resource).await;
        admitted.map_err(|error| match error {
            ConsoleError::NotFound => ConsoleError::Forbidden(permission),
            error => error,
        })
    }

    /// Returns a repository that the viewer may see.
    pub(crate) async fn repository(
        &self,
        name: &RepositoryName,
    ) -> Result<Repository, ConsoleError> {
        let permission = artifactregistry::REPOSITORIES_GET;
        let authorized = self.authorize(permission, Resource::Repository(name.clone())).await?;
        Ok(self.engine().find_repository(&authorized, permission).await?)
    }

    /// Returns whether the viewer has a permission.
    pub(crate) async fn may(
        &self,
        permission: Permission,
        resource: &Resource,
    ) -> Result<bool, ConsoleError> {
        Ok(self.identity().may(self.caller(), permission, resource).await?)
    }

    /// Returns the location that the query names, or the default one.
    pub(crate) fn location_of(query: &Fields, links: &Links) -> Option<Location> {
        match query.get("location") {
            Some(location) => location.parse().ok(),
            None => Some(links.default_location().clone()),
        }
    }

    /// Returns the location of a repository for a form, unless it is the default one.
    pub(crate) fn other_location(&self, name: &RepositoryName) -> Option<String> {
        let is_default = name.location == *self.links.default_location();
        (!is_default).then(|| name.location.to_string())
    }

    /// Returns the frame of a page with this title.
    pub(crate) fn frame(&self, title: impl Into<String>) -> Frame {
        let languages = LANGUAGES.iter().map(|texts| LanguageLink {
            language: texts.language(),
            name: texts.language_name(),
            link: Link::own(&format!("language/{}", texts.language())).with("next", &self.here),
        });
        Frame {
            t: self.texts,
            title: title.into(),
            crumbs: Vec::new(),
            tabs: Vec::new(),
            viewer: self.viewer.name(),
            sign_in: Link::own("sign-in").with("next", &self.here),
            is_dev: matches!(self.viewer, Viewer::Developer(_)),
            form_token: self.form_key.token(),
            search: self.query.get("q").unwrap_or_default().to_owned(),
            assets: assets::links(),
            languages: languages.collect(),
            message: self.message.as_ref().map(|message| self.texts.message(message)),
            commands: Vec::new(),
            commands_note: "",
        }
    }
}

/// Returns the path with the query, to which a viewer comes back. A form cannot be sent again, so that the page about what
/// it is about stands for it.
fn return_address(parts: &Parts) -> String {
    let path = parts.uri.path();
    // The address of a one-time link is a secret, which no other address may hold.
    if path.starts_with(PASSWORD_PATH) {
        return ROOT.to_owned();
    }
    let page = match path.split_once("/-/") {
        Some((page, _)) if parts.method == Method::POST && page.len() > ROOT.len() => page,
        Some(_) | None => path,
    };
    match parts.uri.query() {
        Some(query) => format!("{page}?{query}"),
        None => page.to_owned(),
    }
}

/// Returns whether the browser asks in advance, for a page that the viewer may open next.
fn is_prefetch(headers: &HeaderMap) -> bool {
    const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
    headers.get(PURPOSE).is_some_and(|value| value.as_bytes().starts_with(b"prefetch"))
}

/// Returns the texts of the language that the viewer chose, or that the browser asks for.
fn language_of(headers: &HeaderMap) -> Texts {
    let chosen = session::cookie(headers, session::LANGUAGE).and_then(texts::by_name);
    let accepted = headers.get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    chosen.unwrap_or_else(|| texts::accepted(accepted.unwrap_or_default()))
}

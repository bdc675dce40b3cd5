//! A request for a page, with its viewer.

use std::sync::Arc;

use engine::{Engine, EngineError};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use identity::{Authorized, Caller, Identity};
use model::name::Location;
use model::permission::Permission;
use model::resource::Resource;
use web::app::App;
use web::audit::AuditRecorder;
use web::auth::Authenticator;
use web::layer::RequestInfo;
use web::server_url::RequestArrival;

use crate::assets;
use crate::csrf::FormKey;
use crate::error::ConsoleError;
use crate::links::{Link, Links, ROOT};
use crate::page::{Frame, LanguageLink};
use crate::query::Fields;
use crate::session::{self, Message};
use crate::texts::{self, LANGUAGES, Texts};

/// The viewer of a page.
#[derive(Debug, Clone)]
pub(crate) enum Viewer {
    /// With `--dev`, everybody on this machine.
    Developer(Caller),
    /// Somebody without a session.
    SignedOut(Caller),
}

impl Viewer {
    pub(crate) fn caller(&self) -> &Caller {
        match self {
            Self::Developer(caller) | Self::SignedOut(caller) => caller,
        }
    }

    pub(crate) fn is_signed_out(&self) -> bool {
        matches!(self, Self::SignedOut(_))
    }

    /// Returns the name that the frame shows.
    fn name(&self) -> Option<String> {
        match self {
            Self::Developer(caller) => Some(name_of(caller)),
            Self::SignedOut(_) => None,
        }
    }
}

/// Returns a principal without the word before its address.
fn name_of(caller: &Caller) -> String {
    let principal = caller.principal.to_string();
    principal.split_once(':').map_or(principal.clone(), |(_, name)| name.to_owned())
}

/// A request for a page, without its body.
pub(crate) struct ConsoleRequest {
    pub(crate) app: App,
    pub(crate) viewer: Viewer,
    pub(crate) texts: &'static Texts,
    pub(crate) query: Fields,
    pub(crate) links: Links,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// The scheme and host of the console, as the viewer's browser knows them.
    pub(crate) own_url: String,
    /// The path with the query, to which the viewer comes back.
    pub(crate) here: String,
    /// The number by which the log knows the request.
    pub(crate) id: String,
    /// The recorder of the audit log.
    pub(crate) trail: AuditRecorder,
    form_key: FormKey,
    message: Option<Message>,
}

impl ConsoleRequest {
    /// Finds out who sends the request.
    pub(crate) async fn new(
        app: App,
        parts: &Parts,
        trail: &AuditRecorder,
    ) -> Result<Self, ConsoleError> {
        let info = parts.extensions.get::<Arc<RequestInfo>>();
        let caller = match &app.authenticate {
            Authenticator::Dev => {
                // Every credential is the developer's, and none is needed.
                let audience = identity::TokenAudience::Registry;
                let none = HeaderMap::new();
                Viewer::Developer(
                    app.authenticate.caller(app.engine.identity(), &none, audience).await?,
                )
            }
            Authenticator::Accounts(_) => Viewer::SignedOut(Caller::anonymous()),
        };
        trail.note_caller(caller.caller());
        if let Some(info) = info {
            info.set_principal(&caller.caller().principal);
        }
        let own_url = app.own_url(&RequestArrival::of(parts));
        let secret = session::cookie(&parts.headers, session::SESSION)
            .or_else(|| session::cookie(&parts.headers, session::FORM));
        let here = parts.uri.path_and_query().map_or(ROOT, |path| path.as_str());
        Ok(Self {
            viewer: caller,
            texts: language_of(&parts.headers),
            query: Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            links: Links::new(app.domains.default_location().clone()),
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            own_url,
            here: here.to_owned(),
            id: info.map(|info| info.id().to_owned()).unwrap_or_default(),
            trail: trail.clone(),
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
        self.own_url.starts_with("https://")
    }

    /// Returns whether the page shows what a form has done.
    pub(crate) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// Returns whether the browser asks in advance, for a page that the viewer may open next.
    pub(crate) fn is_prefetch(&self) -> bool {
        const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
        self.headers.get(PURPOSE).is_some_and(|value| value.as_bytes().starts_with(b"prefetch"))
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
        let name = resource.to_string();
        let admitted = self.identity().admit(self.caller(), permission, resource).await;
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
        let admitted = self.authorize(permission, resource).await;
        admitted.map_err(|error| match error {
            ConsoleError::NotFound => ConsoleError::Forbidden(permission),
            error => error,
        })
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

    /// Returns the frame of a page with this title.
    pub(crate) fn frame(&self, title: impl Into<String>) -> Frame {
        let languages = LANGUAGES.iter().map(|texts| LanguageLink {
            language: texts.language,
            name: texts.language_name,
            link: Link::own(&format!("language/{}", texts.language)).with("next", &self.here),
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
        }
    }
}

/// Returns the texts of the language that the viewer chose, or that the browser asks for.
fn language_of(headers: &HeaderMap) -> &'static Texts {
    let chosen = session::cookie(headers, session::LANGUAGE).and_then(texts::by_name);
    let accepted = headers.get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    chosen.unwrap_or_else(|| texts::accepted(accepted.unwrap_or_default()))
}

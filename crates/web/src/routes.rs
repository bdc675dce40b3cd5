//! The routes that the contract does not have. Each says what it asks of its caller: a router takes no other.

use axum::Router;
use axum::routing::MethodRouter;
use model::permission::Permission;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAccess {
    /// Nothing, for a reason: credentials are not even looked at.
    Public(&'static str),
    /// As little; but a credential that is sent must be good.
    OptionalCredential(&'static str),
    /// A credential, which may be nobody's token, as it opens nothing by itself.
    AnyCredential(&'static str),
    /// To be somebody.
    Authenticated,
    /// A permission on the repository that the path names.
    Permission(Permission),
}

/// What a route says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteSpec {
    /// The methods that it takes, with spaces between them.
    pub methods: &'static str,
    /// `/v2/{image}/tags/list`
    pub path: &'static str,
    /// What it asks of its caller.
    pub asks: RouteAccess,
}

/// Routes, and what each says of itself.
pub struct DeclaredRoutes<S> {
    declared: Vec<RouteSpec>,
    router: Router<S>,
}

impl<S: Clone + Send + Sync + 'static> DeclaredRoutes<S> {
    /// No routes.
    pub fn new() -> Self {
        Self { declared: Vec::new(), router: Router::new() }
    }

    /// Adds a route.
    pub fn with(
        mut self,
        (methods, path): (&'static str, &'static str),
        asks: RouteAccess,
        handler: MethodRouter<S>,
    ) -> Self {
        self.declared.push(RouteSpec { methods, path, asks });
        Self { router: self.router.route(path, handler), ..self }
    }

    /// Adds what is below a path, where the handler tells these routes apart and serves no others.
    pub fn below(mut self, path: &str, declared: &[RouteSpec], handler: MethodRouter<S>) -> Self {
        self.declared.extend(declared);
        Self { router: self.router.route(path, handler), ..self }
    }

    /// The router of these routes.
    pub fn into_router(self) -> Router<S> {
        self.router
    }

    /// What they say of themselves.
    pub fn declared(&self) -> &[RouteSpec] {
        &self.declared
    }
}

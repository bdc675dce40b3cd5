//! The routes outside the contract of Google's APIs. Each route declares what it asks of its caller, and a router takes
//! no route without such a declaration.

use axum::Router;
use axum::routing::MethodRouter;
use model::permission::Permission;

/// The access that a caller needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAccess {
    /// No access is needed, for the reason given. Credentials are not looked at.
    Public(&'static str),
    /// No access is needed, for the reason given. A credential that is sent must be valid.
    OptionalCredential(&'static str),
    /// A credential is needed, for the reason given. An anonymous token is enough, because the route gives access to
    /// nothing.
    AnyCredential(&'static str),
    /// A credential of an account is needed.
    Authenticated,
    /// A permission is needed on the repository that the path names.
    Permission(Permission),
}

/// The declaration of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteSpec {
    /// The HTTP methods that the route takes, with spaces between them.
    pub methods: &'static str,
    /// The path: `/v2/{image}/tags/list`.
    pub path: &'static str,
    /// The access that a caller needs.
    pub asks: RouteAccess,
}

/// A router, and the declarations of its routes.
pub struct DeclaredRoutes<S> {
    declared: Vec<RouteSpec>,
    router: Router<S>,
}

impl<S: Clone + Send + Sync + 'static> Default for DeclaredRoutes<S> {
    /// Creates a router without routes.
    fn default() -> Self {
        Self { declared: Vec::new(), router: Router::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> DeclaredRoutes<S> {
    /// Adds a route of its own.
    pub fn with(
        mut self,
        methods: &'static str,
        path: &'static str,
        asks: RouteAccess,
        handler: MethodRouter<S>,
    ) -> Self {
        self.declared.push(RouteSpec { methods, path, asks });
        Self { router: self.router.route(path, handler), ..self }
    }

    /// Adds the routes below a path, which one handler serves: it tells them apart, and serves no others.
    pub fn below(mut self, path: &str, declared: &[RouteSpec], handler: MethodRouter<S>) -> Self {
        self.declared.extend(declared);
        Self { router: self.router.route(path, handler), ..self }
    }

    /// Returns the router of these routes.
    pub fn into_router(self) -> Router<S> {
        self.router
    }

    /// Returns the declarations of the routes.
    pub fn declared(&self) -> &[RouteSpec] {
        &self.declared
    }
}

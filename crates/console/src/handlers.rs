//! The entry to the console: finds out which page a request names and who views it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use web::app::App;
use web::audit::{AuditCode, AuditRecorder};
use web::layer::RequestInfo;

use crate::address::ConsoleAddress;
use crate::error::ConsoleError;
use crate::links::ROOT;
use crate::pages;
use crate::request::ConsoleRequest;
use crate::route::{ConsoleRoute, ImagePage, RepositoryPage, VersionPage};
use crate::{assets, front_door as front};

/// `GET /console/`: the first page.
pub async fn home(State(app): State<App>, request: Request) -> Response {
    by_path(State(app), request).await
}

/// Answers a browser's request for an address that names a project, a repository or an image, with the address of its
/// page.
pub async fn front_door(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(info) = parts.extensions.get::<Arc<RequestInfo>>() {
        info.set_route("console");
    }
    front::answer(&app, &parts)
}

/// Answers all requests below `/console/`.
pub async fn by_path(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let info = parts.extensions.get::<Arc<RequestInfo>>();
    if let Some(info) = info {
        info.set_route("console");
    }
    let address = ConsoleAddress::of(&app, &parts);
    if !address.is_here && matches!(parts.method, Method::GET | Method::HEAD) {
        return front::lead_to_console(&address.url, &parts);
    }
    let path = parts.uri.path().strip_prefix(ROOT).unwrap_or_default().to_owned();
    let guard = app.audit.begin_unnamed(info, &parts.headers);
    let request = match ConsoleRequest::new(app, &parts, address, guard.trail()).await {
        Ok(request) => request,
        Err(error) => return without_viewer(error, guard.trail()),
    };
    let answered = match find_route(&request, &path) {
        Ok(route) => answer(&request, route, body).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(response) => {
            request.trail.note_outcome(AuditCode::Ok, "");
            response
        }
        Err(error) => error.into_response(&request),
    }
}

/// Answers a request if nobody can say who sends it, because the database does not answer.
fn without_viewer(error: ConsoleError, trail: &AuditRecorder) -> Response {
    tracing::warn!("the console cannot tell who views a page: {error:?}");
    trail.note_failure(StatusCode::SERVICE_UNAVAILABLE, "");
    (StatusCode::SERVICE_UNAVAILABLE, "the registry cannot answer now\n").into_response()
}

fn find_route(request: &ConsoleRequest, path: &str) -> Result<ConsoleRoute, ConsoleError> {
    if !request.address.is_here {
        return Err(ConsoleError::OtherHost);
    }
    let location = ConsoleRequest::location_of(&request.query, &request.links);
    let route = location.and_then(|location| ConsoleRoute::parse(path, &location));
    let route = route.ok_or(ConsoleError::NotFound)?;
    let methods = route.methods();
    if !methods.contains(&request.method.as_str()) {
        return Err(ConsoleError::WrongMethod(methods));
    }
    request.trail.note_operation(route.operation(&request.method));
    Ok(route)
}

async fn answer(
    request: &ConsoleRequest,
    route: ConsoleRoute,
    body: Body,
) -> Result<Response, ConsoleError> {
    let is_post = request.method == Method::POST;
    match route {
        ConsoleRoute::Home => pages::projects::show(request).await,
        ConsoleRoute::Asset(file) => {
            assets::answer(&file, &request.headers).ok_or(ConsoleError::NotFound)
        }
        ConsoleRoute::Language(language) => pages::language::choose(request, &language),
        ConsoleRoute::Search => pages::search::show(request).await,
        ConsoleRoute::Project(project) => pages::repositories::show(request, project).await,
        ConsoleRoute::Repository(name, page) => match page {
            RepositoryPage::Images => pages::images::show(request, name).await,
            RepositoryPage::ImagesCsv => pages::images::csv(request, name).await,
            RepositoryPage::Connect => pages::connect::show(request, name).await,
            RepositoryPage::Upstreams => pages::upstreams::show(request, name).await,
            RepositoryPage::Activity => pages::activity::of_repository(request, name).await,
            RepositoryPage::ActivityCsv => pages::activity::csv(request, name).await,
        },
        ConsoleRoute::Image(name, page) => match page {
            ImagePage::Tags => pages::image::show(request, name).await,
            ImagePage::Compare => pages::compare::show(request, name).await,
            ImagePage::History => pages::history::show(request, name).await,
            ImagePage::ChangeTags => pages::change_tags::change(request, name, body).await,
            ImagePage::DeletionPlan => pages::delete::plan(request, name, body).await,
            ImagePage::Delete => pages::delete::delete(request, name, body).await,
            ImagePage::Activity => pages::activity::of_image(request, name).await,
        },
        ConsoleRoute::Tag(name, tag) => pages::version::by_tag(request, name, tag).await,
        ConsoleRoute::Version(name, page) => match page {
            VersionPage::Version => pages::version::show(request, name).await,
            VersionPage::Manifest => pages::raw::manifest(request, name).await,
            VersionPage::Config => pages::raw::config(request, name).await,
        },
        ConsoleRoute::SignIn if is_post => pages::sign_in::sign_in(request, body).await,
        ConsoleRoute::SignIn => pages::sign_in::show(request),
        ConsoleRoute::SignOut => pages::sign_in::sign_out(request, body).await,
        ConsoleRoute::Password(token) if is_post => {
            pages::password::set(request, &token, body).await
        }
        ConsoleRoute::Password(token) => pages::password::show(request, &token).await,
        ConsoleRoute::You if is_post => pages::you::end_sessions(request, body).await,
        ConsoleRoute::You => pages::you::show(request).await,
    }
}

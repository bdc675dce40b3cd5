//! The paths below `/console/`.
//!
//! A path names a project, a repository, an image or a version. A page about it follows after `/-/`. No name has a
//! component `-`, so that an image may be called `app/history` and still have its own history.

use model::artifact_name::{PackageName, VersionName};
use model::digest::Digest;
use model::name::{Location, ProjectId, RepositoryId, RepositoryName};
use model::permission::Permission;
use model::permissions::artifactregistry;
use model::reference::Tag;
use percent_encoding::percent_decode_str;
use web::audit::{AuditedOperation, LogWhen};
use web::routes::{RouteAccess, RouteSpec};

const OWN_RIGHTS: &str = "it shows what the viewer may see, and nothing else";
const SIGN_IN: &str = "whoever signs in has no session yet";

/// The routes of the console below `/console/`.
pub const ROUTES: [RouteSpec; 24] = [
    public("GET HEAD", "/console/-/assets/{file}", "scripts and styles are the same for everybody"),
    public("GET HEAD POST", "/console/-/sign-in", SIGN_IN),
    public("POST", "/console/-/sign-out", "it ends the viewer's own session"),
    public("GET HEAD POST", "/console/-/password/{token}", "the link is the proof"),
    public("GET HEAD", "/console/-/language/{language}", "it sets the language of the browser"),
    public("GET HEAD", "/console/-/search", OWN_RIGHTS),
    public("GET HEAD POST", "/console/-/you", "it shows the viewer's own sessions"),
    asks(artifactregistry::REPOSITORIES_LIST, "GET HEAD", "/console/{project}"),
    asks(artifactregistry::REPOSITORIES_GET, "GET HEAD", "/console/{repository}"),
    asks(artifactregistry::REPOSITORIES_GET, "GET HEAD", "/console/{repository}/-/images.csv"),
    asks(artifactregistry::REPOSITORIES_GET, "GET HEAD", "/console/{repository}/-/connect"),
    asks(artifactregistry::REPOSITORIES_GET, "GET HEAD", "/console/{repository}/-/activity"),
    asks(artifactregistry::REPOSITORIES_GET, "GET HEAD", "/console/{repository}/-/activity.csv"),
    asks(artifactregistry::REPOSITORIES_GET, "GET HEAD", "/console/{repository}/-/upstreams"),
    asks(artifactregistry::TAGS_LIST, "GET HEAD", "/console/{image}"),
    asks(artifactregistry::TAGS_LIST, "GET HEAD", "/console/{image}/-/history"),
    asks(artifactregistry::TAGS_UPDATE, "POST", "/console/{image}/-/tags"),
    asks(DOWNLOAD, "GET HEAD", "/console/{image}/-/compare"),
    asks(artifactregistry::VERSIONS_DELETE, "POST", "/console/{image}/-/deletion-plan"),
    asks(artifactregistry::VERSIONS_DELETE, "POST", "/console/{image}/-/delete"),
    asks(artifactregistry::REPOSITORIES_GET, "GET HEAD", "/console/{image}/-/activity"),
    asks(artifactregistry::VERSIONS_GET, "GET HEAD", "/console/{version}"),
    asks(DOWNLOAD, "GET HEAD", "/console/{version}/-/manifest"),
    asks(DOWNLOAD, "GET HEAD", "/console/{version}/-/config"),
];

const DOWNLOAD: Permission = artifactregistry::REPOSITORIES_DOWNLOAD_ARTIFACTS;

const fn public(methods: &'static str, path: &'static str, reason: &'static str) -> RouteSpec {
    RouteSpec { methods, path, asks: RouteAccess::Public(reason) }
}

const fn asks(permission: Permission, methods: &'static str, path: &'static str) -> RouteSpec {
    RouteSpec { methods, path, asks: RouteAccess::Permission(permission) }
}

/// The page that a path names. Nothing says yet that it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConsoleRoute {
    Home,
    Asset(String),
    SignIn,
    SignOut,
    Password(String),
    Language(String),
    Search,
    You,
    Project(ProjectId),
    Repository(RepositoryName, RepositoryPage),
    Image(PackageName, ImagePage),
    /// A tag, which leads to the version that it names.
    Tag(PackageName, Tag),
    Version(VersionName, VersionPage),
}

/// The pages about a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepositoryPage {
    Images,
    ImagesCsv,
    Connect,
    Activity,
    ActivityCsv,
    Upstreams,
}

/// The pages about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImagePage {
    Tags,
    History,
    ChangeTags,
    Compare,
    DeletionPlan,
    Delete,
    Activity,
}

/// The pages about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionPage {
    Version,
    Manifest,
    Config,
}

impl ConsoleRoute {
    /// Parses the part of a path after `/console/`. `location` is the location of the repository that the path names.
    pub(crate) fn parse(path: &str, location: &Location) -> Option<Self> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let path = path.strip_suffix('/').unwrap_or(&path);
        if let Some(own) = path.strip_prefix("-/") {
            return Self::parse_own(own);
        }
        let (name, page) = match path.split_once("/-/") {
            Some((name, page)) => (name, Some(page)),
            None => (path, None),
        };
        let mut parts = name.splitn(3, '/');
        let project: ProjectId = match parts.next()? {
            "" => return path.is_empty().then_some(Self::Home),
            project => project.parse().ok()?,
        };
        let Some(repository) = parts.next() else {
            return page.is_none().then_some(Self::Project(project));
        };
        let repository: RepositoryId = repository.parse().ok()?;
        let repository = RepositoryName { project, location: location.clone(), repository };
        let Some(image) = parts.next() else {
            return Some(Self::Repository(repository, repository_page(page)?));
        };
        Self::parse_image(repository, image, page)
    }

    fn parse_own(path: &str) -> Option<Self> {
        Some(match path.split_once('/') {
            None => match path {
                "sign-in" => Self::SignIn,
                "sign-out" => Self::SignOut,
                "search" => Self::Search,
                "you" => Self::You,
                _ => return None,
            },
            Some(("assets", file)) => Self::Asset(file.to_owned()),
            Some(("password", token)) => Self::Password(token.to_owned()),
            Some(("language", language)) => Self::Language(language.to_owned()),
            Some(_) => return None,
        })
    }

    fn parse_image(repository: RepositoryName, image: &str, page: Option<&str>) -> Option<Self> {
        if let Some((image, digest)) = image.split_once('@') {
            let package = PackageName { repository, image: image.parse().ok()? };
            let digest: Digest = digest.parse().ok()?;
            return Some(Self::Version(VersionName { package, digest }, version_page(page)?));
        }
        if let Some((image, tag)) = image.split_once(':') {
            let package = PackageName { repository, image: image.parse().ok()? };
            return page.is_none().then_some(Self::Tag(package, tag.parse().ok()?));
        }
        let package = PackageName { repository, image: image.parse().ok()? };
        Some(Self::Image(package, image_page(page)?))
    }

    /// Returns the methods that [`ROUTES`] declares for this route.
    pub(crate) fn methods(&self) -> Vec<&'static str> {
        if *self == Self::Home {
            return vec!["GET", "HEAD"];
        }
        let declared = ROUTES.iter().filter(|declared| declared.path == self.pattern());
        declared.flat_map(|declared| declared.methods.split(' ')).collect()
    }

    /// Returns the operation for the audit log; `None` for pages that show nothing of the registry.
    pub(crate) fn operation(&self, method: &http::Method) -> Option<AuditedOperation> {
        match self {
            Self::Home | Self::Search | Self::Project(_) | Self::Repository(..) => {
                Some(AuditedOperation::read("Console-List"))
            }
            Self::Image(_, ImagePage::ChangeTags) => {
                Some(AuditedOperation::write("Console-ChangeTags"))
            }
            Self::Image(_, ImagePage::Delete) => {
                Some(AuditedOperation::write("Console-DeleteVersions"))
            }
            Self::Image(..) | Self::Tag(..) | Self::Version(..) => {
                Some(AuditedOperation::read("Console-GetImage"))
            }
            Self::SignIn | Self::SignOut | Self::Password(_) if method == http::Method::POST => {
                Some(AuditedOperation::oauth("Console-SignIn", LogWhen::Always))
            }
            Self::Asset(_)
            | Self::SignIn
            | Self::SignOut
            | Self::Password(_)
            | Self::Language(_)
            | Self::You => None,
        }
    }

    /// Returns the path of this route in [`ROUTES`].
    fn pattern(&self) -> &'static str {
        match self {
            Self::Home => "/console/",
            Self::Asset(_) => "/console/-/assets/{file}",
            Self::SignIn => "/console/-/sign-in",
            Self::SignOut => "/console/-/sign-out",
            Self::Password(_) => "/console/-/password/{token}",
            Self::Language(_) => "/console/-/language/{language}",
            Self::Search => "/console/-/search",
            Self::You => "/console/-/you",
            Self::Project(_) => "/console/{project}",
            Self::Repository(_, RepositoryPage::Images) => "/console/{repository}",
            Self::Repository(_, RepositoryPage::ImagesCsv) => "/console/{repository}/-/images.csv",
            Self::Repository(_, RepositoryPage::Connect) => "/console/{repository}/-/connect",
            Self::Repository(_, RepositoryPage::Activity) => "/console/{repository}/-/activity",
            Self::Repository(_, RepositoryPage::ActivityCsv) => {
                "/console/{repository}/-/activity.csv"
            }
            Self::Repository(_, RepositoryPage::Upstreams) => "/console/{repository}/-/upstreams",
            Self::Image(_, ImagePage::Tags) | Self::Tag(..) => "/console/{image}",
            Self::Image(_, ImagePage::History) => "/console/{image}/-/history",
            Self::Image(_, ImagePage::ChangeTags) => "/console/{image}/-/tags",
            Self::Image(_, ImagePage::Compare) => "/console/{image}/-/compare",
            Self::Image(_, ImagePage::DeletionPlan) => "/console/{image}/-/deletion-plan",
            Self::Image(_, ImagePage::Delete) => "/console/{image}/-/delete",
            Self::Image(_, ImagePage::Activity) => "/console/{image}/-/activity",
            Self::Version(_, VersionPage::Version) => "/console/{version}",
            Self::Version(_, VersionPage::Manifest) => "/console/{version}/-/manifest",
            Self::Version(_, VersionPage::Config) => "/console/{version}/-/config",
        }
    }
}

fn repository_page(page: Option<&str>) -> Option<RepositoryPage> {
    match page {
        None => Some(RepositoryPage::Images),
        Some("images.csv") => Some(RepositoryPage::ImagesCsv),
        Some("connect") => Some(RepositoryPage::Connect),
        Some("activity") => Some(RepositoryPage::Activity),
        Some("activity.csv") => Some(RepositoryPage::ActivityCsv),
        Some("upstreams") => Some(RepositoryPage::Upstreams),
        Some(_) => None,
    }
}

fn image_page(page: Option<&str>) -> Option<ImagePage> {
    match page {
        None => Some(ImagePage::Tags),
        Some("history") => Some(ImagePage::History),
        Some("tags") => Some(ImagePage::ChangeTags),
        Some("compare") => Some(ImagePage::Compare),
        Some("deletion-plan") => Some(ImagePage::DeletionPlan),
        Some("delete") => Some(ImagePage::Delete),
        Some("activity") => Some(ImagePage::Activity),
        Some(_) => None,
    }
}

fn version_page(page: Option<&str>) -> Option<VersionPage> {
    match page {
        None => Some(VersionPage::Version),
        Some("manifest") => Some(VersionPage::Manifest),
        Some("config") => Some(VersionPage::Config),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let location = "us-west1".parse().expect("a location");
        let actual = ConsoleRoute::parse(path, &location);
        let actual = actual.map_or_else(
            || "nothing".to_owned(),
            |route| match &route {
                ConsoleRoute::Project(project) => format!("{} of {project}", route.pattern()),
                ConsoleRoute::Repository(name, _) => {
                    format!("{} of {}", route.pattern(), name.path())
                }
                ConsoleRoute::Image(name, _) => format!("{} of {}", route.pattern(), name.image),
                ConsoleRoute::Tag(name, tag) => format!("tag {tag} of {}", name.image),
                ConsoleRoute::Version(name, _) => {
                    let digest = &name.digest.as_str()[..9];
                    format!("{} of {} at {digest}", route.pattern(), name.package.image)
                }
                other => other.pattern().to_owned(),
            },
        );
        assert_eq!(actual, expected, "{path}");
    }

    #[test]
    fn paths() {
        let digest = Digest::of(b"m");
        check("", "/console/");
        check("my-project", "/console/{project} of my-project");
        check("my-project/", "/console/{project} of my-project");
        check("example.com:my-project/r", "/console/{repository} of example.com/my-project/r");
        check("my-project/-/activity", "nothing");
        check("my-project/r/-/connect", "/console/{repository}/-/connect of my-project/r");
        check("my-project/r/a/b", "/console/{image} of a/b");
        check("my-project/r/a/history", "/console/{image} of a/history");
        check("my-project/r/a%2Fb/-/history", "/console/{image}/-/history of a/b");
        check("my-project/r/a/b:v1", "tag v1 of a/b");
        check(&format!("my-project/r/a@{digest}"), "/console/{version} of a at sha256:62");
        check(
            &format!("my-project/r/a@{digest}/-/manifest"),
            "/console/{version}/-/manifest of a at sha256:62",
        );
        check("-/sign-in", "/console/-/sign-in");
        check("-/assets/console-1.css", "/console/-/assets/{file}");
    }

    #[test]
    fn paths_without_a_page() {
        check("-", "nothing");
        check("-/nothing", "nothing");
        check("-/assets", "nothing");
        check("My-Project", "nothing");
        check("my-project/r/-/nothing", "nothing");
        check("my-project/r/a@sha256:abc", "nothing");
        check("my-project/r/../etc", "nothing");
        check("my-project/r/a:v1/-/history", "nothing");
        check("my-project//a", "nothing");
        check("/my-project", "nothing");
    }

    #[test]
    fn every_route_is_declared() {
        let location = "us-west1".parse().expect("a location");
        let digest = Digest::of(b"m");
        for declared in ROUTES {
            let path = declared
                .path
                .replace("{project}", "my-project")
                .replace("{repository}", "my-project/r")
                .replace("{image}", "my-project/r/i")
                .replace("{version}", &format!("my-project/r/i@{digest}"))
                .replace(['{', '}'], "");
            let path = path.strip_prefix("/console/").expect("below it");
            let route = ConsoleRoute::parse(path, &location).expect("a route");
            assert_eq!(route.pattern(), declared.path);
        }
    }
}

//! `berth explain`: asks a running server which upstream of a virtual repository answers a pull.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::name::{ImagePath, Location, RepositoryName, split_image};
use model::registry_host::RegistryDomains;

use super::SettingsArguments;
use super::operator::ask;
use crate::operator::{ExplainAnswer, OperatorCommand, UpstreamLine};
use crate::run::registry_domains;

/// Explains which upstream of a virtual repository answers a pull, and why those before it do not.
///
/// Each printed line is an upstream, in the order in which they are asked: its priority, the id of its policy, its
/// repository, its answer, and the time that the answer took. An arrow marks the upstream that answers the pull. The
/// exit status is 1 if no upstream has the image, or if the pull is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth explain us-west1-docker.example.com/team-one/all/web:1.0
  berth explain team-one/all/web --location europe-west1 --data /var/lib/berth")]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The location of the repository [default: the one that the host names, or else the setting default_location].
    #[arg(long, value_name = "LOCATION")]
    location: Option<Location>,
    /// The image, as clients pull it: [HOST/]PROJECT/REPOSITORY/IMAGE[:TAG|@DIGEST].
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl ExplainArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.read()?;
        let domains = registry_domains(&config)?;
        let ImageArgument { mut repository, image } = parse_image(&self.image, &domains)
            .with_context(|| {
                format!("{:?} is no image: [HOST/]PROJECT/REPOSITORY/IMAGE", self.image)
            })?;
        if let Some(location) = self.location {
            repository.location = location;
        }
        let command = OperatorCommand::Explain { repository: repository.to_string(), image };
        print_answer(&ask(&config, &command, |_: ExplainAnswer| Ok(()))?)
    }
}

fn print_answer(answer: &ExplainAnswer) -> anyhow::Result<ExitCode> {
    let mut out = stdout().lock();
    for (position, upstream) in answer.upstreams.iter().enumerate() {
        let UpstreamLine { id, priority, repository, answer: text, micros, .. } = upstream;
        let arrow = if answer.answering == Some(position) { "->" } else { "  " };
        // The id may be any text, so it is escaped: it must not control the terminal.
        writeln!(out, "{arrow} {priority:>6}  {id:?}  {repository}  {text}  ({micros} \u{b5}s)")?;
    }
    let answering = answer.answering.map(|position| &answer.upstreams[position]);
    if answering.is_none() {
        writeln!(out, "No upstream has the image.")?;
    }
    let is_served = answering.is_some_and(|upstream| upstream.serves);
    Ok(if is_served { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An image as the command line names it.
#[derive(Debug)]
struct ImageArgument {
    repository: RepositoryName,
    /// The image in the repository, with its tag or digest.
    image: String,
}

fn parse_image(text: &str, domains: &RegistryDomains) -> anyhow::Result<ImageArgument> {
    // As for clients, a first part with a dot or a colon is a host.
    let (host, path) = match text.split_once('/') {
        Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => (host, path),
        Some(_) | None => ("", text),
    };
    let place = domains.target_of(host);
    let (name, reference) = split_image(path);
    let ImagePath { project, repository, image } = place.parse_image_path(name)?;
    let repository = RepositoryName { project, location: place.location, repository };
    Ok(ImageArgument { repository, image: format!("{image}{reference}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let location = "us-west1".parse().expect("a location");
        let domains = RegistryDomains::new(["example.com".to_owned()], location);
        let parsed = parse_image(text, &domains).ok();
        let parsed = parsed.map(|parsed| (parsed.repository.to_string(), parsed.image));
        let expected = expected.map(|(name, image)| (name.to_owned(), image.to_owned()));
        assert_eq!(parsed, expected, "{text}");
    }

    #[test]
    fn images_as_clients_name_them() {
        let own = "projects/p-1/locations/us-west1/repositories/r";
        check("p-1/r/web", Some((own, "web")));
        check("p-1/r/team/web:1.0", Some((own, "team/web:1.0")));
        check("localhost:5050/p-1/r/web:1.0", Some((own, "web:1.0")));
        check("us-west1-docker.localhost:5050/p-1/r/web@sha256:1", Some((own, "web@sha256:1")));
        let other = "projects/p-1/locations/europe-west1/repositories/r";
        check(
            "europe-west1-docker.example.com/p-1/r/web:1@sha256:1",
            Some((other, "web:1@sha256:1")),
        );
        check("gcr.io/p-1/web", Some(("projects/p-1/locations/us/repositories/gcr.io", "web")));
        for text in ["", "web", "p-1/r", "p-1/r/", "P/r/web", "localhost:5050/p-1/r"] {
            check(text, None);
        }
    }
}

//! Webhooks, as far as the registry has to know them: the repositories that each wants to hear of.

use model::name::{ProjectId, RepositoryName};

/// A receiver of notifications about changes.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The name of the webhook, under which messages wait for it.
    pub name: String,
    /// The projects that it wants to hear of.
    pub projects: Vec<ProjectId>,
    /// The repositories that it wants to hear of. With neither projects nor repositories, the webhook hears of all.
    pub repositories: Vec<RepositoryName>,
}

impl Webhook {
    fn wants(&self, repository: &RepositoryName) -> bool {
        let Self { projects, repositories, .. } = self;
        (projects.is_empty() && repositories.is_empty())
            || projects.contains(&repository.project)
            || repositories.contains(repository)
    }
}

/// Returns the names of the webhooks that want to hear of a repository.
pub(crate) fn list_interested_webhooks<'a>(
    webhooks: &'a [Webhook],
    repository: &RepositoryName,
) -> Vec<&'a str> {
    let wanting = webhooks.iter().filter(|webhook| webhook.wants(repository));
    wanting.map(|webhook| webhook.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(projects: &[&str], repositories: &[&str], repository: &str) -> bool {
        let name = |id: &str| -> RepositoryName {
            let (project, id) = id.split_once('/').expect("PROJECT/REPOSITORY");
            format!("projects/{project}/locations/us/repositories/{id}").parse().expect("a name")
        };
        let webhook = Webhook {
            name: "w".to_owned(),
            projects: projects.iter().map(|id| id.parse().expect("a project")).collect(),
            repositories: repositories.iter().map(|id| name(id)).collect(),
        };
        webhook.wants(&name(repository))
    }

    #[test]
    fn a_webhook_wants_all_or_its_projects_and_repositories() {
        assert!(wants(&[], &[], "p/r"));
        assert!(wants(&["p"], &[], "p/r"));
        assert!(!wants(&["q"], &[], "p/r"));
        assert!(wants(&[], &["p/r"], "p/r"));
        assert!(!wants(&[], &["q/r", "p/s"], "p/r"));
        assert!(wants(&["q"], &["p/r"], "p/r"));
    }
}

//! The page with the commands by which tools use a repository.

use askama::Template;
use axum::response::Response;
use model::name::RepositoryName;

use crate::error::ConsoleError;
use crate::frame::{Frame, Tab};
use crate::page;
use crate::request::ConsoleRequest;

#[derive(Template)]
#[template(path = "connect.html")]
struct ConnectPage {
    frame: Frame,
    tools: Vec<Tab>,
    blocks: Vec<CommandBlock>,
}

/// Commands or a file, with a sentence that says what they are for.
struct CommandBlock {
    title: &'static str,
    text: String,
}

/// The tools, by the word in the address and the name that people know.
const TOOLS: [(&str, &str); 8] = [
    ("docker", "docker"),
    ("podman", "podman"),
    ("containerd", "containerd"),
    ("kubernetes", "Kubernetes"),
    ("gcloud", "gcloud"),
    ("helm", "Helm"),
    ("github", "GitHub Actions"),
    ("gitlab", "GitLab CI"),
];

pub(crate) async fn show(
    request: &ConsoleRequest,
    name: RepositoryName,
) -> Result<Response, ConsoleError> {
    let repository = request.repository(&name).await?;
    let wanted = request.query.get("tool").unwrap_or(TOOLS[0].0);
    let (tool, _) =
        *TOOLS.iter().find(|(tool, _)| *tool == wanted).ok_or(ConsoleError::NotFound)?;
    let base = request.links.repository(&name).page("connect");
    let tools = TOOLS.iter().map(|(word, label)| Tab {
        label,
        link: base.clone().with("tool", word),
        is_current: *word == tool,
    });
    let title = format!("{} · {}", request.texts.connect(), name.repository);
    let shown = ConnectPage {
        frame: request.repository_frame(&name, repository.mode, title).await?,
        tools: tools.collect(),
        blocks: blocks(request, &name, tool),
    };
    Ok(page::show(request, &shown))
}

fn blocks(request: &ConsoleRequest, name: &RepositoryName, tool: &str) -> Vec<CommandBlock> {
    let address = request.app.registry_uri(name);
    let (host, _) = address.split_once('/').unwrap_or((&address, ""));
    let url = format!("{}://{host}", request.app.origin.scheme());
    let block = |title, text| CommandBlock { title, text };
    let t = request.texts;
    let is_dev = request.frame("").is_dev;
    let log_in = |program: &str| {
        format!(
            "gcloud auth print-access-token | {program} login -u oauth2accesstoken --password-stdin {url}"
        )
    };
    let mut all = Vec::new();
    match tool {
        "docker" => {
            if !is_dev {
                all.push(block(t.sign_in(), format!("gcloud auth configure-docker {host}")));
                all.push(block(t.sign_in(), log_in("docker")));
                all.push(block(
                    t.sign_in(),
                    format!("docker login -u _json_key_base64 --password-stdin {url} < key.json"),
                ));
            }
            all.push(block(
                t.push(),
                format!("docker tag app {address}/app:v1\ndocker push {address}/app:v1"),
            ));
            all.push(block(t.pull(), format!("docker pull {address}/app:v1")));
        }
        "podman" => {
            if !is_dev {
                all.push(block(t.sign_in(), log_in("podman")));
            }
            all.push(block(t.push(), format!("podman push app {address}/app:v1")));
            all.push(block(t.pull(), format!("podman pull {address}/app:v1")));
        }
        "containerd" => {
            all.push(block(
                t.pull(),
                format!(
                    "crictl pull --creds oauth2accesstoken:\"$(gcloud auth print-access-token)\" {address}/app:v1"
                ),
            ));
        }
        "kubernetes" => {
            all.push(block(
                t.sign_in(),
                format!(
                    "kubectl create secret docker-registry berth --docker-server={url} \\\n  --docker-username=_json_key --docker-password=\"$(cat key.json)\""
                ),
            ));
            all.push(block(
                t.pull(),
                format!(
                    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: app\nspec:\n  containers:\n  - name: app\n    image: {address}/app:v1\n  imagePullSecrets:\n  - name: berth"
                ),
            ));
        }
        "gcloud" => {
            all.push(block(
                t.images(),
                format!("gcloud artifacts docker images list {address} --include-tags"),
            ));
            all.push(block(t.tags(), format!("gcloud artifacts docker tags list {address}")));
            all.push(block(
                t.repository(),
                format!(
                    "gcloud artifacts repositories describe {} --project={} --location={}",
                    name.repository, name.project, name.location
                ),
            ));
        }
        "helm" => {
            all.push(block(
                t.sign_in(),
                format!(
                    "gcloud auth print-access-token | helm registry login -u oauth2accesstoken --password-stdin {host}"
                ),
            ));
            all.push(block(t.push(), format!("helm push chart-0.1.0.tgz oci://{address}")));
            all.push(block(t.pull(), format!("helm pull oci://{address}/chart --version 0.1.0")));
        }
        "github" => {
            all.push(block(
                t.push(),
                format!(
                    "- uses: docker/login-action@v3\n  with:\n    registry: {host}\n    username: _json_key_base64\n    password: ${{{{ secrets.BERTH_KEY }}}}\n- uses: docker/build-push-action@v6\n  with:\n    push: true\n    tags: {address}/app:${{{{ github.sha }}}}"
                ),
            ));
        }
        _ => {
            all.push(block(
                t.push(),
                format!(
                    "build:\n  image: docker:28\n  services: [\"docker:28-dind\"]\n  script:\n  - echo \"$BERTH_KEY\" | docker login -u _json_key_base64 --password-stdin {url}\n  - docker build -t {address}/app:$CI_COMMIT_SHORT_SHA .\n  - docker push {address}/app:$CI_COMMIT_SHORT_SHA"
                ),
            ));
        }
    }
    all
}

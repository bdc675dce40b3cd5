//! Attack 14: every route with every kind of caller and every place of its role. A second evaluator says whether the
//! request must be allowed.

mod cases;
mod contract;
mod evaluator;

use std::collections::BTreeSet;

use http::{HeaderMap, Method};
use meta::{epochs, params};
use serde_json::{Value, json};

use self::cases::{
    OTHER, PROJECT, REPOSITORY, RequestCase, SIBLING, SideEffect, TARGET, absent_repository,
    account_email,
};
use self::evaluator::{CallerIdentity, Evaluator, ORGANIZATION};
use crate::util::accounts::{ORGANIZATION as OURS, granted_permissions};
use crate::util::google::repository_name;
use crate::util::wire::{Http2Connection, bearer_headers};
use crate::util::{AccountServer, Image, Reply, digest_of, on_both};

/// The callers: a name, a role, and the member of the binding if it is not the caller.
const CALLERS: [(&str, &str, &str); 21] = [
    ("nobody", "", ""),
    ("stranger", "", ""),
    ("nobody", "roles/artifactregistry.reader", "allUsers"),
    ("stranger", "roles/artifactregistry.writer", "allAuthenticatedUsers"),
    ("reader", "roles/artifactregistry.reader", ""),
    ("writer", "roles/artifactregistry.writer", ""),
    ("repo-admin", "roles/artifactregistry.repoAdmin", ""),
    ("creator", "roles/artifactregistry.createOnPushWriter", ""),
    ("administrator", "roles/artifactregistry.admin", ""),
    ("viewer", "roles/viewer", ""),
    ("editor", "roles/editor", ""),
    ("owner-1", "roles/owner", ""),
    ("switched-off", "roles/owner", ""),
    ("token-creator", "roles/iam.serviceAccountTokenCreator", ""),
    ("key-admin", "roles/iam.serviceAccountKeyAdmin", ""),
    ("account-admin", "roles/iam.serviceAccountAdmin", ""),
    ("org-admin", "roles/resourcemanager.organizationAdmin", ""),
    ("role-admin", "roles/iam.roleAdmin", ""),
    ("custom-in-project", "projects/matrix-project/roles/matrix.Own", ""),
    ("custom-everywhere", "organizations/1/roles/matrix.Own", ""),
    ("custom-disabled", "organizations/1/roles/matrix.Disabled", ""),
];

/// The permissions of the custom roles, which no predefined role combines like this: they pull and delete, but do not
/// push, and they work on accounts and roles, but do not list them.
const CUSTOM_PERMISSIONS: [&str; 9] = [
    "artifactregistry.repositories.downloadArtifacts",
    "artifactregistry.repositories.deleteArtifacts",
    "artifactregistry.repositories.setIamPolicy",
    "artifactregistry.tags.delete",
    "iam.roles.update",
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.signBlob",
    "resourcemanager.projects.get",
    "resourcemanager.organizations.get",
];

/// The resources on which the role is bound. `None` means no binding.
fn binding_relations() -> [Option<String>; 7] {
    [
        Some(repository_name(PROJECT, REPOSITORY)),
        Some(repository_name(PROJECT, SIBLING)),
        Some(format!("projects/{PROJECT}")),
        Some(format!("projects/{OTHER}")),
        Some(ORGANIZATION.to_owned()),
        Some(format!("projects/{PROJECT}/serviceAccounts/{}", account_email(TARGET))),
        None,
    ]
}

/// A caller with its tokens.
struct MatrixCaller {
    who: CallerIdentity,
    access: Option<String>,
    /// `None` for the anonymous caller, who needs no token.
    registry: Option<String>,
    role: &'static str,
    member: String,
}

struct Matrix {
    accounts: AccountServer,
    evaluator: Evaluator,
    wire: Http2Connection,
    image: Image,
    google: Vec<RequestCase>,
    declared: Vec<RequestCase>,
    cases: usize,
    /// The number of cases that are part of a list or of `testIamPermissions`, and not a request of their own.
    told: usize,
    wrong: Vec<String>,
}

impl Matrix {
    async fn new(accounts: AccountServer) -> Self {
        assert_eq!(OURS, ORGANIZATION);
        let image = Image::new(1);
        for (project, id) in [(PROJECT, REPOSITORY), (PROJECT, SIBLING), (OTHER, REPOSITORY)] {
            accounts.create_repository(project, id).await;
            image.push(&accounts.owner.client, (&format!("{project}/{id}/image"), "latest")).await;
        }
        let sibling = format!("{PROJECT}/{SIBLING}/image");
        accounts.owner.client.push_blob(&sibling, "only there").await;
        accounts.owner.create_account(PROJECT, TARGET).await.expect_status(200);
        let wire = Http2Connection::connect(accounts.server.address).await;
        let (google, declared) = (cases::google_cases(), cases::declared_cases(&image));
        let evaluator = create_roles(&accounts).await;
        Self {
            accounts,
            evaluator,
            wire,
            image,
            google,
            declared,
            cases: 0,
            told: 0,
            wrong: Vec::new(),
        }
    }

    async fn create_callers(&self) -> Vec<MatrixCaller> {
        let mut callers = Vec::new();
        for (name, role, member) in CALLERS {
            if name == "nobody" {
                let member = member.to_owned();
                callers.push(MatrixCaller {
                    who: CallerIdentity::Nobody,
                    access: None,
                    registry: None,
                    role,
                    member,
                });
                continue;
            }
            let actor = self.accounts.create_actor(name).await;
            let scopes = cases::registry_scopes();
            let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
            let registry = Some(actor.registry_token(&scopes).await);
            let disabled = name == "switched-off";
            if disabled {
                let path = format!("/v1/{}:disable", actor.account_name());
                self.accounts.owner.post(&path, &json!({})).await.expect_status(200);
            }
            let member = if member.is_empty() { actor.member() } else { member.to_owned() };
            let who = CallerIdentity::Account { email: actor.email, disabled };
            callers.push(MatrixCaller { who, access: Some(actor.token), registry, role, member });
        }
        callers
    }

    /// Compares one answer with the evaluator.
    fn judge_answer(&mut self, (expected, refused): (bool, bool), what: impl FnOnce() -> String) {
        self.cases += 1;
        if expected == refused {
            let kind = if expected { "unexpected deny" } else { "unexpected allow" };
            self.wrong.push(format!("{kind}: {}", what()));
        }
    }

    async fn send(&self, headers: &HeaderMap, (method, path): (Method, &str), body: &str) -> Reply {
        let reply = self.wire.send((method, path), headers.clone(), body.to_owned()).await;
        let status = reply.status.as_u16();
        assert!(status < 500 || status == 501, "{path}: {reply:?}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("no method at this path"), "{path}");
        reply
    }

    /// Sends every request as one caller with its role on one resource.
    async fn check_cell(&mut self, caller: &MatrixCaller, relation: Option<&str>) {
        let at = format!("{:?} with {} on {relation:?}", caller.who, caller.role);
        let access = bearer_headers(caller.access.as_deref());
        for case in self.google.clone() {
            let expected = case.needs.is_allowed(&self.evaluator, &caller.who);
            let reply = self.send(&access, (case.method.clone(), &case.path), &case.body).await;
            let line =
                || format!("{at}: {} {}: {}", case.method, case.path, reply.google_outcome());
            self.judge_answer((expected, reply.is_refused()), line);
            if expected {
                self.restore_state(case.leaves, (caller, relation)).await;
            }
            if let Some((path, message)) = &case.grpc {
                let reply = self.wire.call_grpc(path, access.clone(), message).await;
                let refused = ["7", "16"].contains(&reply.header("grpc-status"));
                self.judge_answer((expected, refused), || format!("{at}: gRPC {path}: {reply:?}"));
            }
        }
        let registry = caller.registry.as_deref().map(|token| (bearer_headers(Some(token)), true));
        for (headers, registry) in [(access, false)].into_iter().chain(registry) {
            for case in self.declared.clone() {
                // No token is made from a registry token, because it could allow more.
                let expected = case.needs.is_allowed(&self.evaluator, &caller.who)
                    && !(registry && case.path == "/v2/token");
                let reply =
                    self.send(&headers, (case.method.clone(), &case.path), &case.body).await;
                let line =
                    || format!("{at}: {} {}: {}", case.method, case.path, reply.oci_outcome());
                self.judge_answer((expected, reply.is_refused()), line);
            }
            self.check_pushes(&headers, (caller, relation), &at).await;
        }
        let requests = self.cases;
        self.check_lists(caller, &at).await;
        self.check_own_permissions(caller, &at).await;
        self.told += self.cases - requests;
    }

    /// Checks requests that need two permissions: a push that creates a repository, and a mount from another
    /// repository.
    async fn check_pushes(
        &mut self,
        headers: &HeaderMap,
        (caller, relation): (&MatrixCaller, Option<&str>),
        at: &str,
    ) {
        let may = |evaluator: &Evaluator, action: &str, name: &str| {
            evaluator.allows(&caller.who, &format!("artifactregistry.repositories.{action}"), name)
        };
        let absent_name = absent_repository();
        let upload = may(&self.evaluator, "uploadArtifacts", &absent_name);
        let create = may(&self.evaluator, "createOnPush", &absent_name);
        let path = format!("/v2/{PROJECT}/absent/image/blobs/uploads/");
        let reply = self.send(headers, (Method::POST, &path), "").await;
        self.judge_answer((upload, reply.is_refused()), || {
            format!("{at}: {path}: {}", reply.oci_outcome())
        });
        self.judge_answer((upload && create, reply.status != 202), || {
            format!("{at}: creates {path}")
        });
        if reply.status == 202 {
            self.restore_state(SideEffect::NewRepository, (caller, relation)).await;
        }
        let (own, sibling) =
            (repository_name(PROJECT, REPOSITORY), repository_name(PROJECT, SIBLING));
        let upload = may(&self.evaluator, "uploadArtifacts", &own);
        let read = may(&self.evaluator, "downloadArtifacts", &sibling);
        let path = format!(
            "/v2/{PROJECT}/{REPOSITORY}/image/blobs/uploads/?mount={}\
             &from={PROJECT}/{SIBLING}/image",
            digest_of("only there")
        );
        let reply = self.send(headers, (Method::POST, &path), "").await;
        self.judge_answer((upload, reply.is_refused()), || {
            format!("{at}: {path}: {}", reply.oci_outcome())
        });
        self.judge_answer((upload && read, reply.status != 201), || format!("{at}: mounts {path}"));
    }

    /// Checks that lists show exactly what the caller may see.
    async fn check_lists(&mut self, caller: &MatrixCaller, at: &str) {
        let headers = bearer_headers(caller.access.as_deref());
        let may = |evaluator: &Evaluator, permission: &str, name: &str| {
            evaluator.allows(&caller.who, permission, name)
        };
        let token = (Method::GET, "/v2/token?scope=registry:catalog:*");
        let token = self.send(&headers, token, "").await.json();
        // A disabled account gets no token, and sends the one that it has.
        let token =
            token["token"].as_str().map_or(headers.clone(), |token| bearer_headers(Some(token)));
        let catalog = self.send(&token, (Method::GET, "/v2/_catalog"), "").await.json();
        let projects = self.send(&headers, (Method::GET, "/v1/projects"), "").await.json();
        for (project, id) in [(PROJECT, REPOSITORY), (PROJECT, SIBLING), (OTHER, REPOSITORY)] {
            let read = "artifactregistry.repositories.downloadArtifacts";
            let expected = may(&self.evaluator, read, &repository_name(project, id));
            let listed = catalog["repositories"].as_array().into_iter().flatten();
            let shown = listed.into_iter().any(|path| *path == format!("{project}/{id}/image"));
            self.judge_answer((expected, !shown), || {
                format!("{at}: the catalog shows {project}/{id}")
            });
        }
        for project in [PROJECT, OTHER, "my-project"] {
            let name = format!("projects/{project}");
            // The list is for authenticated callers only.
            let expected = Evaluator::is_authenticated(&caller.who)
                && may(&self.evaluator, "resourcemanager.projects.get", &name);
            let listed = projects["projects"].as_array().into_iter().flatten();
            let shown = listed.into_iter().any(|one| one["projectId"] == project);
            self.judge_answer((expected, !shown), || {
                format!("{at}: the list of projects shows {project}")
            });
        }
    }

    /// Checks that `testIamPermissions` agrees with the evaluator on every permission.
    async fn check_own_permissions(&mut self, caller: &MatrixCaller, at: &str) {
        if !Evaluator::is_authenticated(&caller.who) {
            return;
        }
        let headers = bearer_headers(caller.access.as_deref());
        let all: Vec<_> = self.evaluator.all_permissions().into_iter().collect();
        let target = format!("projects/{PROJECT}/serviceAccounts/{}", account_email(TARGET));
        let project = format!("projects/{PROJECT}");
        for name in [repository_name(PROJECT, REPOSITORY), target, project, ORGANIZATION.to_owned()]
        {
            let mut told = BTreeSet::new();
            for some in all.chunks(100) {
                let body = json!({ "permissions": some }).to_string();
                let path = format!("/v1/{name}:testIamPermissions");
                told.extend(granted_permissions(
                    &self.send(&headers, (Method::POST, &path), &body).await,
                ));
            }
            for permission in &all {
                let expected = self.evaluator.allows(&caller.who, permission, &name);
                let told = told.contains(permission);
                self.judge_answer((expected, !told), || {
                    format!("{at}: is told {permission} on {name}")
                });
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "how many cases there were is part of the result")]
    fn report_result(&self) {
        let Self { cases, told, wrong, .. } = self;
        let requests = cases - told;
        println!("{requests} requests, and {told} things that were told");
        assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(requests > 3_000, "{requests}");
    }

    /// Restores what an allowed request deleted, including the binding under test.
    async fn restore_state(
        &self,
        leaves: SideEffect,
        (caller, relation): (&MatrixCaller, Option<&str>),
    ) {
        let owner = &self.accounts.owner;
        match leaves {
            SideEffect::Nothing => {}
            SideEffect::NewRepository => {
                owner.delete(&format!("/v1/{}", absent_repository())).await.expect_status(200);
            }
            SideEffect::NoRepository => {
                owner.create_repository(PROJECT, REPOSITORY).await.expect_status(200);
                let image = format!("{PROJECT}/{REPOSITORY}/image");
                self.image.push(&owner.client, (&image, "latest")).await;
                let name = repository_name(PROJECT, REPOSITORY);
                if relation == Some(&name) {
                    owner.grant_role(&name, caller.role, &caller.member).await;
                }
            }
            SideEffect::NoProject => {
                let meta = self.accounts.server.open_meta().await;
                let revived = meta.write(|tx| {
                    tx.execute(
                        "UPDATE projects SET state = 'ACTIVE' WHERE id = ?1",
                        params![PROJECT],
                    )?;
                    epochs::bump(tx, epochs::ACCESS)
                });
                revived.await.expect("writable");
                // The server looks at the epoch after each change of its own.
                let policy: Value = owner.get_policy(ORGANIZATION).await;
                owner.set_policy(ORGANIZATION, &policy).await.expect_status(200);
            }
        }
    }
}

/// Creates the custom roles of the callers. Returns an evaluator that knows them.
async fn create_roles(accounts: &AccountServer) -> Evaluator {
    let mut evaluator = Evaluator::new();
    for (_, name, _) in CALLERS {
        let Some((parent, id)) = name.split_once("/roles/") else { continue };
        accounts.owner.create_role(parent, id, &CUSTOM_PERMISSIONS).await.expect_status(200);
        if id.ends_with("Disabled") {
            accounts.owner.set_role_stage(name, "DISABLED").await;
            evaluator.add_role(name, &[]);
        } else {
            evaluator.add_role(name, &CUSTOM_PERMISSIONS);
        }
    }
    evaluator
}

on_both![attack_14_every_route_decides_as_the_second_evaluator];

async fn attack_14_every_route_decides_as_the_second_evaluator(accounts: AccountServer) {
    let mut matrix = Matrix::new(accounts).await;
    let callers = matrix.create_callers().await;
    for caller in &callers {
        for relation in binding_relations() {
            let bound = relation.as_deref().filter(|_| !caller.role.is_empty());
            matrix.evaluator.forget_bindings();
            if bound.is_some_and(|resource| !Evaluator::is_grantable(caller.role, resource)) {
                continue;
            }
            if let Some(resource) = bound {
                matrix.evaluator.add_binding(resource, caller.role, &caller.member);
                matrix.accounts.owner.grant_role(resource, caller.role, &caller.member).await;
            }
            matrix.check_cell(caller, bound).await;
            if let Some(resource) = bound {
                matrix.accounts.owner.revoke_role(resource, caller.role, &caller.member).await;
            }
        }
    }
    matrix.report_result();
}

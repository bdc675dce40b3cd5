//! The contract: every method, with its HTTP paths and the access that it asks of its caller.
//!
//! A mistake in a `.proto` file is found here when the server starts, and not by the first request.

use std::collections::HashMap;
use std::sync::LazyLock;

use http::Method;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor,
};
use proto::google::api::HttpRule as RawRule;
use proto::google::api::http_rule::Pattern;

use super::template::{PathTemplate, TemplateError};

/// The reason why a contract cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// A method does not declare what it asks of its caller.
    #[error("{0} does not say what it asks of its caller (option berth.access)")]
    NoAccess(String),
    /// The declaration of a method is wrong.
    #[error("{method}: option berth.access: {problem}")]
    Access {
        /// The method's full name.
        method: String,
        /// The mistake.
        problem: &'static str,
    },
    /// A method streams, which neither the gate nor the transcoder can read.
    #[error("{0} streams, and only plain calls are served")]
    Streaming(String),
    /// The path of a method cannot be parsed.
    #[error("{method}: {template}: {error}")]
    Template {
        /// The method's full name.
        method: String,
        /// The path.
        template: String,
        /// The mistake.
        error: TemplateError,
    },
    /// A path or a body fills a field that the request does not have.
    #[error("{method}: an HTTP rule fills {field:?}, which is not such a field of the request")]
    Field {
        /// The method's full name.
        method: String,
        /// The field.
        field: String,
    },
    /// Two methods have one path.
    #[error("{template} leads to {first} and to {second}")]
    Duplicate {
        /// The HTTP method and the path.
        template: String,
        /// The full name of one method.
        first: String,
        /// The full name of the other method.
        second: String,
    },
}

/// One way to reach a method over REST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRule {
    /// The HTTP method.
    pub method: Method,
    /// The path template: `/v1/{name=projects/*/locations/*}`.
    pub template: String,
    /// The field that the body fills; `*` is the whole request, and an empty name means that there is no body.
    pub body: String,
}

/// The access that a method asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessRule {
    /// A permission on a resource.
    Permission {
        /// The permission: `artifactregistry.repositories.get`.
        permission: String,
        /// The request's field that names the resource, as a dotted path; `None` is the organization.
        resource: Option<String>,
    },
    /// No permission is asked for.
    Open {
        /// The reason.
        why: String,
    },
}

/// A method of the contract.
#[derive(Debug, Clone)]
pub struct MethodInfo {
    /// The full name: `google.devtools.artifactregistry.v1.ArtifactRegistry.GetRepository`.
    pub name: String,
    /// The path over gRPC.
    pub path: String,
    /// The paths over REST.
    pub rules: Vec<HttpRule>,
    /// The access that the method asks of its caller.
    pub access: AccessRule,
    /// The patterns that the name of the resource in `access` must match. Over gRPC, the name can be any text, and a
    /// permission on one kind of resource must not count for another kind.
    resource_patterns: Vec<PathTemplate>,
    /// The type of the request.
    pub input: MessageDescriptor,
    /// The type of the reply.
    pub output: MessageDescriptor,
}

/// The types of the compiled contract. They take some megabytes, so that all code shares this pool.
pub(super) static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).expect("the compiler wrote it"));

/// All methods of the contract.
#[derive(Debug)]
pub(super) struct ApiContract {
    methods: Vec<MethodInfo>,
    by_path: HashMap<String, usize>,
    pool: DescriptorPool,
}

impl ApiContract {
    /// Reads the contract that is compiled into the program.
    pub(super) fn read() -> Result<Self, ContractError> {
        Self::from_pool(POOL.clone())
    }

    pub(super) fn from_pool(pool: DescriptorPool) -> Result<Self, ContractError> {
        let services: Vec<_> = pool.services().collect();
        let methods = services
            .iter()
            .flat_map(|service| service.methods())
            .map(|method| MethodInfo::read(&method))
            .collect::<Result<Vec<_>, _>>()?;
        let by_path = methods.iter().map(|method| method.path.clone()).zip(0..).collect();
        Ok(Self { methods, by_path, pool })
    }

    pub(super) fn methods(&self) -> &[MethodInfo] {
        &self.methods
    }

    pub(super) fn into_methods(self) -> Vec<MethodInfo> {
        self.methods
    }

    pub(super) fn method_at(&self, grpc_path: &str) -> Option<&MethodInfo> {
        self.by_path.get(grpc_path).map(|index| &self.methods[*index])
    }

    pub(super) fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

impl MethodInfo {
    fn read(method: &MethodDescriptor) -> Result<Self, ContractError> {
        let name = method.full_name().to_owned();
        if method.is_client_streaming() || method.is_server_streaming() {
            return Err(ContractError::Streaming(name));
        }
        let access: Option<proto::berth::Access> = method_option(method, "berth.access");
        let access = access.ok_or_else(|| ContractError::NoAccess(name.clone()))?;
        let access = AccessRule::read(access, &method.input())
            .map_err(|problem| ContractError::Access { method: name.clone(), problem })?;
        let rule: Option<RawRule> = method_option(method, "google.api.http");
        let rules = rule.map(http_rules).unwrap_or_default();
        let resource_patterns = match &access {
            AccessRule::Permission { resource: Some(field), .. } => {
                resource_patterns(&name, &rules, field)?
            }
            AccessRule::Permission { resource: None, .. } | AccessRule::Open { .. } => Vec::new(),
        };
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let (input, output) = (method.input(), method.output());
        Ok(Self { name, path, rules, access, resource_patterns, input, output })
    }

    /// Returns whether this names a resource of the kind that the method is about.
    pub(super) fn is_about(&self, resource: &str) -> bool {
        self.resource_patterns.iter().any(|pattern| pattern.matches(resource))
    }
}

impl AccessRule {
    /// Returns the permission, if the method asks for one.
    pub(super) fn permission(&self) -> Option<&str> {
        match self {
            Self::Permission { permission, .. } => Some(permission),
            Self::Open { .. } => None,
        }
    }

    /// Reads the option of a method. Fails if it is undecided, or names a field that the request does not have.
    pub(super) fn read(
        access: proto::berth::Access,
        input: &MessageDescriptor,
    ) -> Result<Self, &'static str> {
        let proto::berth::Access { permission, resource, open } = access;
        match (permission.is_empty(), open.is_empty()) {
            (true, true) => Err("neither a permission nor a reason why none is needed"),
            (false, false) => Err("both a permission and a reason why none is needed"),
            (true, false) if !resource.is_empty() => Err("a resource, but no permission on it"),
            (true, false) => Ok(Self::Open { why: open }),
            (false, true) if resource.is_empty() => {
                Ok(Self::Permission { permission, resource: None })
            }
            (false, true) if string_field(input, &resource).is_none() => {
                Err("the resource is not a string of the request")
            }
            (false, true) => Ok(Self::Permission { permission, resource: Some(resource) }),
        }
    }
}

/// Returns the patterns of the texts that the HTTP rules put into a field. Each rule must fill the field.
fn resource_patterns(
    method: &str,
    rules: &[HttpRule],
    field: &str,
) -> Result<Vec<PathTemplate>, ContractError> {
    let problem = "the resource is not in the path of an HTTP rule";
    let unknown = || ContractError::Access { method: method.to_owned(), problem };
    if rules.is_empty() {
        return Err(unknown());
    }
    let shape =
        |rule: &HttpRule| read_template(method, rule)?.variable_pattern(field).ok_or_else(unknown);
    rules.iter().map(shape).collect()
}

/// Parses the path of a method's HTTP rule.
pub(super) fn read_template(method: &str, rule: &HttpRule) -> Result<PathTemplate, ContractError> {
    PathTemplate::parse(&rule.template).map_err(|error| {
        let (method, template) = (method.to_owned(), rule.template.clone());
        ContractError::Template { method, template, error }
    })
}

/// Returns an option of a method, if it is set.
fn method_option<Option_: prost::Message + Default>(
    method: &MethodDescriptor,
    name: &str,
) -> Option<Option_> {
    let extension: ExtensionDescriptor = method.parent_pool().get_extension_by_name(name)?;
    let options: DynamicMessage = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let value = options.get_extension(&extension);
    let value = value.as_message().expect("both options are messages");
    Some(value.transcode_to().expect("both types come from the same file"))
}

/// Returns an HTTP rule and its additional bindings.
fn http_rules(rule: RawRule) -> Vec<HttpRule> {
    let (method, template) = match rule.pattern {
        Some(Pattern::Get(template)) => (Method::GET, template),
        Some(Pattern::Put(template)) => (Method::PUT, template),
        Some(Pattern::Post(template)) => (Method::POST, template),
        Some(Pattern::Delete(template)) => (Method::DELETE, template),
        Some(Pattern::Patch(template)) => (Method::PATCH, template),
        None => return Vec::new(),
    };
    let mut rules = vec![HttpRule { method, template, body: rule.body }];
    rules.extend(rule.additional_bindings.into_iter().flat_map(http_rules));
    rules
}

/// Returns the field at a dotted path, if there is one and it is a string.
pub(super) fn string_field(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let field = message.get_field_by_name(first).filter(|field| !field.is_list())?;
    match (field.kind(), rest) {
        (Kind::String, None) => Some(field),
        (Kind::Message(inner), Some(rest)) => string_field(&inner, rest),
        _ => None,
    }
}

/// Returns the text of the field at a dotted path. An absent field is an empty text.
pub(super) fn text_at(message: &DynamicMessage, path: &str) -> String {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let value = message.get_field_by_name(first);
    match (value.as_deref(), rest) {
        (Some(prost_reflect::Value::String(text)), None) => text.clone(),
        (Some(prost_reflect::Value::Message(inner)), Some(rest)) => text_at(inner, rest),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::prost_types::{
        FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto,
    };
    use proto::berth::Access;

    use super::*;
    use model::permissions::iam;

    /// Reads the contract with one more method, which has no options.
    fn with_method(streams: bool) -> Result<ApiContract, ContractError> {
        let mut pool = POOL.clone();
        let empty = || Some(".google.protobuf.Empty".to_owned());
        let method = MethodDescriptorProto {
            name: Some("Forgotten".to_owned()),
            input_type: empty(),
            output_type: empty(),
            server_streaming: Some(streams),
            ..MethodDescriptorProto::default()
        };
        let service = ServiceDescriptorProto {
            name: Some("S".to_owned()),
            method: vec![method],
            options: None,
        };
        let file = FileDescriptorProto {
            name: Some("forgotten.proto".to_owned()),
            package: Some("test".to_owned()),
            dependency: vec!["google/protobuf/empty.proto".to_owned()],
            service: vec![service],
            ..FileDescriptorProto::default()
        };
        pool.add_file_descriptor_proto(file).expect("valid");
        ApiContract::from_pool(pool)
    }

    #[test]
    fn the_doors_stay_closed_while_a_method_asks_nothing_of_its_caller() {
        let error = with_method(false).expect_err("not decided");
        assert!(
            matches!(&error, ContractError::NoAccess(name) if name == "test.S.Forgotten"),
            "{error}"
        );
        assert!(matches!(with_method(true), Err(ContractError::Streaming(_))));
    }

    #[test]
    fn access_is_a_permission_or_a_reason() {
        let name = "google.devtools.artifactregistry.v1.UpdateRepositoryRequest";
        let input = POOL.get_message_by_name(name).expect("there");
        let read = |permission: &str, resource: &str, open: &str| {
            let [permission, resource, open] = [permission, resource, open].map(str::to_owned);
            AccessRule::read(Access { permission, resource, open }, &input)
        };
        assert!(read("p.x.get", "repository.name", "").is_ok());
        assert!(read("p.x.create", "", "").is_ok(), "on the organization");
        assert!(read("", "", "it is no secret").is_ok());
        assert!(read("", "", "").is_err());
        assert!(read("p.x.get", "repository.name", "it is no secret").is_err());
        assert!(read("", "repository.name", "it is no secret").is_err());
        for resource in
            ["name", "repository", "repository.format", "repository.labels.x", "update_mask.paths"]
        {
            assert!(read("p.x.get", resource, "").is_err(), "{resource}");
        }
    }

    #[test]
    fn the_contract_says_what_it_should() {
        let contract = ApiContract::read().expect("valid");
        let method =
            contract.method_at("/google.iam.credentials.v1.IAMCredentials/SignJwt").expect("there");
        assert_eq!(method.name, "google.iam.credentials.v1.IAMCredentials.SignJwt");
        // The permission is checked along the chain of delegates, in `identity`.
        assert!(matches!(&method.access, AccessRule::Open { why } if why.contains("delegates")));
        let get =
            contract.method_at("/google.iam.admin.v1.IAM/GetServiceAccountKey").expect("there");
        let (permission, resource) =
            (iam::SERVICE_ACCOUNT_KEYS_GET.as_str().to_owned(), Some("name".to_owned()));
        assert_eq!(get.access, AccessRule::Permission { permission, resource });
        let template = "/v1/{name=projects/*/serviceAccounts/*}:signJwt".to_owned();
        assert_eq!(
            method.rules,
            [HttpRule { method: Method::POST, template, body: "*".to_owned() }]
        );
        let operations =
            contract.method_at("/google.longrunning.Operations/GetOperation").expect("there");
        assert_eq!(operations.rules.len(), 2);
        assert!(contract.method_at("/google.iam.admin.v1.IAM/SignJwt").is_none(), "left out");
    }
}

//! Requests made from the route table: paths with names in them, and messages with a resource.

use google::{AccessRule, MethodInfo};
use http::Method;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};

use super::google::LOCATION;

/// The names that stand for the wildcards of paths.
#[derive(Debug, Clone)]
pub(crate) struct ResourceNames {
    pub(crate) project: String,
    pub(crate) repository: String,
    pub(crate) account: String,
    pub(crate) key: String,
}

impl ResourceNames {
    pub(crate) fn new(project: &str, repository: &str, (account, key): (&str, &str)) -> Self {
        let [project, repository] = [project, repository].map(str::to_owned);
        Self { project, repository, account: account.to_owned(), key: key.to_owned() }
    }

    /// Fills a path template, such as `/v1/{name=projects/*/locations/*}`, with the names.
    pub(crate) fn fill_template(&self, template: &str) -> String {
        let (mut plain, mut rest) = (String::new(), template);
        while let Some((before, inner)) = rest.split_once('{') {
            let (variable, after) = inner.split_once('}').expect("templates are checked");
            let pattern = variable.split_once('=').map_or("*", |(_, pattern)| pattern);
            plain = plain + before + pattern;
            rest = after;
        }
        plain.push_str(rest);
        let mut collection = "";
        let mut filled = Vec::new();
        for segment in plain.split('/') {
            filled.push(match segment.strip_prefix('*') {
                Some(rest) => {
                    format!("{}{}", self.name_in(collection), rest.trim_start_matches('*'))
                }
                None => segment.to_owned(),
            });
            collection = segment;
        }
        filled.join("/")
    }

    fn name_in(&self, collection: &str) -> &str {
        match collection {
            "projects" => &self.project,
            "locations" => LOCATION,
            "repositories" => &self.repository,
            "serviceAccounts" => &self.account,
            "keys" => &self.key,
            "organizations" => "1",
            "roles" => "absentRole",
            _ => "x",
        }
    }
}

/// One REST route of a method of the contract.
pub(crate) struct Route {
    pub(crate) method: MethodInfo,
    pub(crate) verb: Method,
    pub(crate) template: String,
    /// The field of the message that is the body, or `*` for the whole message.
    body: String,
}

/// All REST routes of all methods.
pub(crate) fn all_routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for method in google::methods() {
        for rule in &method.rules {
            let (verb, template) = (rule.method.clone(), rule.template.clone());
            let body = rule.body.clone();
            routes.push(Route { method: method.clone(), verb, template, body });
        }
    }
    routes
}

impl Route {
    /// The part of a body that the method has fields for. Any other field would be refused.
    pub(crate) fn known_fields(&self, body: &serde_json::Value) -> serde_json::Value {
        let input = &self.method.input;
        let message = match input.get_field_by_name(&self.body).map(|field| field.kind()) {
            Some(Kind::Message(message)) => message,
            _ => input.clone(),
        };
        keep_known_fields(&message, body)
    }

    /// The method's name without package and service.
    pub(crate) fn method_name(&self) -> &str {
        self.method.name.rsplit('.').next().expect("never empty")
    }

    /// The field that names the resource of the permission.
    pub(crate) fn resource_field(&self) -> Option<&str> {
        match &self.method.access {
            AccessRule::Permission { resource, .. } => resource.as_deref(),
            AccessRule::Open { .. } => None,
        }
    }

    /// The resource name of the permission, as in the path.
    pub(crate) fn resource_name(&self, names: &ResourceNames) -> String {
        let variable = format!("{{{}=", self.resource_field().unwrap_or_default());
        let pattern =
            self.template.split_once(&variable).and_then(|(_, rest)| rest.split_once('}'));
        pattern.map(|(pattern, _)| names.fill_template(pattern)).unwrap_or_default()
    }

    /// The method's message with this body, and with `resource` in the field that names it.
    pub(crate) fn build_message(&self, resource: &str, body: &serde_json::Value) -> DynamicMessage {
        let message = DynamicMessage::deserialize(self.method.input.clone(), body);
        let mut message = message.expect("a body of this method");
        if let Some(field) = self.resource_field() {
            set_field(&mut message, field, resource);
        }
        message
    }
}

fn keep_known_fields(message: &MessageDescriptor, body: &serde_json::Value) -> serde_json::Value {
    let Some(fields) = body.as_object() else { return body.clone() };
    let known = fields.iter().filter_map(|(name, value)| {
        let field = message.get_field_by_json_name(name);
        let value = match field.or_else(|| message.get_field_by_name(name))?.kind() {
            Kind::Message(inner) => keep_known_fields(&inner, value),
            _ => value.clone(),
        };
        Some((name.clone(), value))
    });
    known.collect()
}

fn set_field(message: &mut DynamicMessage, path: &str, text: &str) {
    match path.split_once('.') {
        None => message.set_field_by_name(path, Value::String(text.to_owned())),
        Some((first, rest)) => {
            let inner = message.get_field_by_name_mut(first).expect("a field");
            set_field(inner.as_message_mut().expect("a message"), rest, text);
        }
    }
}

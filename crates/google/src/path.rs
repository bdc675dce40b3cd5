//! The search for the HTTP rule that a request's path matches, and for the values of the rule's variables.
//!
//! A path is split before it is decoded, because names contain slashes: `packages/a%2Fb` is one package, which clients
//! encode once or twice. The resulting names have `%2F` for a slash, as Google writes them. `model` decides whether
//! they are valid names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use http::Method;
use percent_encoding::percent_decode_str;

use super::contract::{ContractError, MethodInfo, read_template, string_field};
use super::error::GoogleError;
use super::template::PathTemplate;

/// The most times that a segment is decoded. Clients encode a slash once or twice, and a proxy perhaps once more.
/// Without this limit, a long path of `%2525…` would cost the square of its length.
const MAX_DECODINGS: usize = 3;

/// The method that a request's path leads to.
#[derive(Debug)]
pub(super) struct MatchedRoute {
    /// The index of the method in the contract.
    pub(super) method: usize,
    /// The field that the body fills; see [`super::contract::HttpRule`].
    pub(super) body: Arc<str>,
    /// The fields that the path fills, as dotted paths, with their values.
    pub(super) variables: Vec<(String, String)>,
}

#[derive(Debug)]
struct PathRule {
    template: PathTemplate,
    method: usize,
    body: Arc<str>,
}

/// All HTTP rules, by HTTP method and verb.
#[derive(Debug, Default)]
pub(super) struct PathRules(HashMap<Method, HashMap<String, Vec<PathRule>>>);

impl PathRules {
    pub(super) fn new(methods: &[MethodInfo]) -> Result<Self, ContractError> {
        let mut rules = Self::default();
        let mut taken: HashMap<String, String> = HashMap::new();
        for (index, method) in methods.iter().enumerate() {
            for rule in &method.rules {
                let template = read_template(&method.name, rule)?;
                let unknown = template
                    .fields()
                    .filter(|field| string_field(&method.input, field).is_none())
                    .chain(unknown_body_field(&rule.body, &method.input))
                    .next();
                if let Some(field) = unknown {
                    let (method, field) = (method.name.clone(), field.to_owned());
                    return Err(ContractError::Field { method, field });
                }
                match taken.entry(format!("{} {}", rule.method, template.shape())) {
                    Entry::Occupied(entry) => {
                        return Err(ContractError::Duplicate {
                            template: entry.key().clone(),
                            first: entry.get().clone(),
                            second: method.name.clone(),
                        });
                    }
                    Entry::Vacant(entry) => entry.insert(method.name.clone()),
                };
                rules.add(
                    &rule.method,
                    PathRule { template, method: index, body: rule.body.as_str().into() },
                );
            }
        }
        Ok(rules)
    }

    fn add(&mut self, method: &Method, rule: PathRule) {
        let by_verb = self.0.entry(method.clone()).or_default();
        let rules = by_verb.entry(rule.template.verb().to_owned()).or_default();
        rules.push(rule);
        rules.sort_by_key(|rule| rule.template.priority());
    }

    /// Finds the rule that a request matches.
    pub(super) fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Result<Option<MatchedRoute>, GoogleError> {
        let Some(by_verb) = self.0.get(method) else { return Ok(None) };
        // Digests and projects with a domain contain colons too, so that only a known verb of this HTTP method is one.
        // The raw path is searched, because an encoded colon never stands before a verb.
        let (path, rules) = match path.rsplit_once(':') {
            Some((before, verb)) if by_verb.contains_key(verb) => (before, &by_verb[verb]),
            _ => match by_verb.get("") {
                Some(rules) => (path, rules),
                None => return Ok(None),
            },
        };
        let Some(path) = path.strip_prefix('/') else { return Ok(None) };
        let segments = path.split('/').map(decode_segment).collect::<Result<Vec<_>, _>>()?;
        Ok(rules.iter().find_map(|rule| {
            let variables = rule.template.match_path(&segments)?;
            Some(MatchedRoute { method: rule.method, body: rule.body.clone(), variables })
        }))
    }
}

/// Returns the name of the field that the body fills, if the request has no such field.
fn unknown_body_field<'a>(
    body: &'a str,
    input: &prost_reflect::MessageDescriptor,
) -> Option<&'a str> {
    (!matches!(body, "" | "*") && input.get_field_by_name(body).is_none()).then_some(body)
}

/// Returns a segment decoded, in the form that resource names have.
fn decode_segment(raw: &str) -> Result<String, GoogleError> {
    let mut text = raw.to_owned();
    for _ in 0..MAX_DECODINGS {
        let decoded = percent_decode_str(&text)
            .decode_utf8()
            .map_err(|_| GoogleError::new(tonic::Code::InvalidArgument, "the path is not UTF-8"))?;
        text = decoded.into_owned();
        if !["%2F", "%2f", "%252"].iter().any(|slash| text.contains(slash)) {
            break;
        }
    }
    Ok(text.replace('/', "%2F"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once_and_slashes_stay_inside() {
        for (raw, expected) in [
            ("us", "us"),
            ("a%2Fb", "a%2Fb"),
            ("a%2fb", "a%2Fb"),
            ("a%252Fb", "a%2Fb"),
            ("a%252fb%252Fc", "a%2Fb%2Fc"),
            ("a%25252Fb", "a%2Fb"),
            ("img%40sha256%3Aaaa", "img@sha256:aaa"),
            ("img@sha256:aaa", "img@sha256:aaa"),
            ("a%252Bb", "a%2Bb"),
            ("100%25", "100%"),
            ("%C3%BC", "ü"),
            ("..%2F..", "..%2F.."),
        ] {
            assert_eq!(decode_segment(raw).expect(raw), expected, "{raw}");
        }
        assert!(decode_segment("%FF").is_err());
    }

    /// Searches the table of templates `rules` for `method path`; `expected` is the index of the rule that is found.
    #[track_caller]
    fn check_rules(rules: &[&str], request: &str, expected: Option<usize>) {
        let mut table = PathRules::default();
        for (index, rule) in rules.iter().enumerate() {
            let (method, template) = rule.split_once(' ').expect("method and template");
            let template = PathTemplate::parse(template).expect("valid");
            let method = method.parse().expect("a method");
            table.add(&method, PathRule { template, method: index, body: "".into() });
        }
        let (method, path) = request.split_once(' ').expect("method and path");
        let found = table.find(&method.parse().expect("a method"), path).expect("UTF-8");
        assert_eq!(found.map(|found| found.method), expected, "{request}");
    }

    #[test]
    fn a_colon_is_a_verbs_only_where_the_verb_is_known() {
        let rules = [
            "GET /v1/{name=projects/*}",
            "POST /v1/{resource=projects/*}:getIamPolicy",
            "GET /v1/{resource=things/*}:getIamPolicy",
            "GET /v1/{name=things/*}",
        ];
        check_rules(&rules, "GET /v1/projects/example.com:my-project", Some(0));
        check_rules(&rules, "POST /v1/projects/p:getIamPolicy", Some(1));
        check_rules(&rules, "POST /v1/projects/example.com:p:getIamPolicy", Some(1));
        check_rules(&rules, "POST /v1/projects/example.com%3Ap:getIamPolicy", Some(1));
        check_rules(&rules, "POST /v1/projects/p%3AgetIamPolicy", None);
        check_rules(&rules, "POST /v1/projects/p:setIamPolicy", None);
        check_rules(&rules, "GET /v1/things/sha256:aaaa", Some(3));
        check_rules(&rules, "GET /v1/things/sha256:aaaa:getIamPolicy", Some(2));
        check_rules(&rules, "GET /v1/things/sha256%3AgetIamPolicy", Some(3));
        check_rules(&rules, "DELETE /v1/things/a", None);
    }

    #[test]
    fn rules_that_cannot_work_are_found_at_the_start() {
        let methods: Vec<_> = crate::methods().take(1).collect();
        assert!(PathRules::new(&methods).is_ok());
        let twice = [methods[0].clone(), methods[0].clone()];
        assert!(matches!(PathRules::new(&twice), Err(ContractError::Duplicate { .. })));
        let with = |template: &str, body: &str| {
            let mut method = methods[0].clone();
            method.rules[0].template = template.to_owned();
            method.rules[0].body = body.to_owned();
            PathRules::new(&[method])
        };
        assert!(matches!(with("/v1/{nothing=x/*}", ""), Err(ContractError::Field { .. })));
        assert!(matches!(with("/v1/{parent=x/*}", "nothing"), Err(ContractError::Field { .. })));
        assert!(matches!(with("v1", ""), Err(ContractError::Template { .. })));
    }

    #[test]
    fn the_narrowest_rule_wins() {
        let rules = [
            "POST /v1/{resource=**}:setIamPolicy",
            "POST /v1/{resource=projects/*/x/*}:setIamPolicy",
            "POST /v1/{resource=projects/*/x/me}:setIamPolicy",
        ];
        check_rules(&rules, "POST /v1/projects/p/x/r:setIamPolicy", Some(1));
        check_rules(&rules, "POST /v1/projects/p/x/me:setIamPolicy", Some(2));
        check_rules(&rules, "POST /v1/folders/1:setIamPolicy", Some(0));
    }
}

//! The path templates of HTTP rules, such as `/v1/{name=projects/*/locations/*}:verb`.

use std::borrow::Borrow;

/// The reason why a template cannot be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template does not start with a slash.
    #[error("does not start with a slash")]
    NoSlash,
    /// The template has an unmatched brace, as `{name` or `name}`.
    #[error("has an unmatched brace")]
    Brace,
    /// The template has an empty segment.
    #[error("has an empty segment")]
    Empty,
    /// The template has a segment behind `**`, which takes all segments to the end.
    #[error("has something behind **")]
    NotLast,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplateSegment {
    Literal(String),
    /// `*`: any one segment.
    One,
    /// `**`: one or more segments, at the end of a template.
    Rest,
}

/// A field of the request, with the range of segments that fill it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TemplateVariable {
    field: String,
    from: usize,
    to: usize,
}

/// The path of an HTTP rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathTemplate {
    segments: Vec<TemplateSegment>,
    variables: Vec<TemplateVariable>,
    /// The verb behind the colon, as `getIamPolicy`; may be empty.
    verb: String,
}

impl PathTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut rest = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        let mut template =
            Self { segments: Vec::new(), variables: Vec::new(), verb: String::new() };
        // No template of this contract has a colon elsewhere.
        if let Some((path, verb)) = rest.rsplit_once(':') {
            (rest, template.verb) = (path, verb.to_owned());
        }
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('{') {
                let (variable, after) = inner.split_once('}').ok_or(TemplateError::Brace)?;
                let (field, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
                let from = template.segments.len();
                pattern.split('/').try_for_each(|segment| template.push(segment))?;
                let to = template.segments.len();
                template.variables.push(TemplateVariable { field: field.to_owned(), from, to });
                rest = after;
            } else {
                let end = rest.find('/').unwrap_or(rest.len());
                template.push(&rest[..end])?;
                rest = &rest[end..];
            }
            rest = match rest.strip_prefix('/') {
                Some("") => return Err(TemplateError::Empty),
                Some(rest) => rest,
                None if rest.is_empty() => rest,
                None => return Err(TemplateError::Brace),
            };
        }
        Ok(template)
    }

    /// Returns the segments of a variable, as a template of its own.
    pub(super) fn variable_pattern(&self, field: &str) -> Option<Self> {
        let variable = self.variables.iter().find(|variable| variable.field == field)?;
        let segments = self.segments[variable.from..variable.to].to_vec();
        Some(Self { segments, variables: Vec::new(), verb: String::new() })
    }

    /// Returns whether a name matches this template.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.match_path(&name.split('/').collect::<Vec<_>>()).is_some()
    }

    /// Returns the fields that the path fills, as dotted paths.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| variable.field.as_str())
    }

    pub(super) fn verb(&self) -> &str {
        &self.verb
    }

    fn push(&mut self, segment: &str) -> Result<(), TemplateError> {
        if self.segments.last() == Some(&TemplateSegment::Rest) {
            return Err(TemplateError::NotLast);
        }
        self.segments.push(match segment {
            "" => return Err(TemplateError::Empty),
            "*" => TemplateSegment::One,
            "**" => TemplateSegment::Rest,
            literal if literal.contains(['{', '}']) => return Err(TemplateError::Brace),
            literal => TemplateSegment::Literal(literal.to_owned()),
        });
        Ok(())
    }

    /// Returns the path without the names of its variables. No two rules may have the same one.
    pub(super) fn shape(&self) -> String {
        let segments = self.segments.iter().map(|segment| match segment {
            TemplateSegment::Literal(text) => text,
            TemplateSegment::One => "*",
            TemplateSegment::Rest => "**",
        });
        segments.flat_map(|segment| ["/", segment]).collect::<String>() + ":" + &self.verb
    }

    /// Returns the key by which rules are tried: those with fewer wildcards first, and those with `**` last.
    pub(super) fn priority(&self) -> (bool, usize) {
        let wildcards =
            self.segments.iter().filter(|segment| **segment == TemplateSegment::One).count();
        (self.segments.last() == Some(&TemplateSegment::Rest), wildcards)
    }

    /// Returns the fields and their values, if the path matches this template.
    pub(super) fn match_path<Part>(&self, path: &[Part]) -> Option<Vec<(String, String)>>
    where
        Part: AsRef<str> + Borrow<str>,
    {
        let has_rest = self.segments.last() == Some(&TemplateSegment::Rest);
        if path.len() < self.segments.len() || (path.len() > self.segments.len() && !has_rest) {
            return None;
        }
        let matches = self.segments.iter().zip(path).all(|(segment, part)| match segment {
            TemplateSegment::Literal(text) => text == part.as_ref(),
            TemplateSegment::One | TemplateSegment::Rest => !part.as_ref().is_empty(),
        });
        matches.then(|| {
            let values = self.variables.iter().map(|variable| {
                let to = if has_rest && variable.to == self.segments.len() {
                    path.len()
                } else {
                    variable.to
                };
                (variable.field.clone(), path[variable.from..to].join("/"))
            });
            values.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read() {
        for (text, shape) in [
            ("/v1/projects", "/v1/projects:"),
            ("/v1/{name}", "/v1/*:"),
            ("/v1/{name=projects/*}/locations", "/v1/projects/*/locations:"),
            ("/v1/{a.b=x/*/y/**}", "/v1/x/*/y/**:"),
            ("/v1/{name=x/*}:undo", "/v1/x/*:undo"),
            ("/v1/{name=x/*}/y:undo", "/v1/x/*/y:undo"),
            ("/v1/roles:ask", "/v1/roles:ask"),
        ] {
            let template = PathTemplate::parse(text).expect(text);
            assert_eq!(template.shape(), shape, "{text}");
        }
        for (text, expected) in [
            ("v1", TemplateError::NoSlash),
            ("/v1/{name", TemplateError::Brace),
            ("/v1/name}", TemplateError::Brace),
            ("/v1/{name}x", TemplateError::Brace),
            ("/v1//x", TemplateError::Empty),
            ("/v1/x/", TemplateError::Empty),
            ("/v1/{name=**}/x", TemplateError::NotLast),
        ] {
            assert_eq!(PathTemplate::parse(text), Err(expected), "{text}");
        }
    }

    /// Asserts that `path` matches `template` with the variables in `expected`. The text `-` stands for no match.
    #[track_caller]
    fn check(template: &str, path: &str, expected: &str) {
        let template = PathTemplate::parse(template).expect("valid");
        let path: Vec<_> = path.split('/').skip(1).collect();
        let taken = template.match_path(&path).map(|variables| {
            let pairs = variables.into_iter().map(|(field, value)| format!("{field}={value}"));
            pairs.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(taken.as_deref().unwrap_or("-"), expected);
    }

    #[test]
    fn paths_fill_variables() {
        let one = "/v1/{name=projects/*/locations/*}";
        check(one, "/v1/projects/p/locations/us", "name=projects/p/locations/us");
        check(one, "/v1/projects/p/locations", "-");
        check(one, "/v1/projects/p/locations/", "-");
        check(one, "/v1/projects/p/locations/us/x", "-");
        check(one, "/v2/projects/p/locations/us", "-");
        check(one, "/v1/projects//locations/us", "-");
        check(
            one,
            "/v1/projects/example.com:p/locations/us",
            "name=projects/example.com:p/locations/us",
        );
        check("/v1/{a=x/*}/{b=y/*}", "/v1/x/1/y/2", "a=x/1 b=y/2");
        check("/v1/{p}/files", "/v1/a%2Fb/files", "p=a%2Fb");
        let rest = "/v1/{name=files/**}";
        check(rest, "/v1/files/a/b%2Fc", "name=files/a/b%2Fc");
        check(rest, "/v1/files/a", "name=files/a");
        check(rest, "/v1/files", "-");
    }

    #[test]
    fn names_have_the_shape_of_their_variable() {
        let template =
            PathTemplate::parse("/v1/{a.b=projects/*/things/*}/{rest=x/**}:verb").expect("valid");
        let thing = template.variable_pattern("a.b").expect("there");
        for (name, expected) in [
            ("projects/p/things/t", true),
            ("projects/example.com:p/things/t", true),
            ("projects/p/things/a%2Fb", true),
            ("projects/p", false),
            ("projects/p/things", false),
            ("projects/p/things/", false),
            ("projects/p/things/t/x/1", false),
            ("projects//things/t", false),
            ("/projects/p/things/t", false),
            ("organizations/1", false),
            ("", false),
        ] {
            assert_eq!(thing.matches(name), expected, "{name}");
        }
        assert!(template.variable_pattern("rest").expect("there").matches("x/1/2"));
        assert!(template.variable_pattern("a").is_none());
    }
}

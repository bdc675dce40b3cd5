use std::collections::BTreeSet;
use std::convert::Infallible;

use serde_json::{Value, json};

use super::*;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;
const NOW: i64 = 1_700_000_000 * SECOND;

/// A manifest of a repository that only these tests have. Ages are in seconds.
#[derive(Debug, Clone)]
struct TestVersion {
    package: String,
    name: String,
    age: i64,
    pulled: Option<i64>,
    tags: Vec<String>,
}

struct TestFacts<'a> {
    version: &'a TestVersion,
    all: &'a [TestVersion],
}

impl VersionQueries for TestFacts<'_> {
    type Error = Infallible;

    fn has_tag_with_prefix(&mut self, beginning: &str) -> Result<bool, Infallible> {
        Ok(self.version.tags.iter().any(|tag| tag.starts_with(beginning)))
    }

    fn last_pulled_at(&mut self) -> Result<Option<i64>, Infallible> {
        Ok(self.version.pulled.map(|age| NOW - age * SECOND))
    }

    fn has_newer_versions(&mut self, count: u32) -> Result<bool, Infallible> {
        let own = self.version;
        let newer = self.all.iter().filter(|other| {
            other.package == own.package && (own.age, &other.name) > (other.age, &own.name)
        });
        Ok(newer.count() >= count as usize)
    }
}

fn settings(policies: &[Value]) -> String {
    let policies: serde_json::Map<_, _> = policies
        .iter()
        .map(|policy| (policy["id"].as_str().expect("text").to_owned(), policy.clone()))
        .collect();
    json!({ "cleanupPolicies": policies, "kmsKeyName": "x" }).to_string()
}

/// Returns the names of the versions that are deleted by the function under test.
fn deleted_versions(policies: &CleanupPolicies, all: &[TestVersion]) -> BTreeSet<String> {
    let is_deleted = |stored: &&TestVersion| {
        let version = CandidateVersion {
            package: &stored.package,
            name: &stored.name,
            uploaded_at: NOW - stored.age * SECOND,
        };
        let Ok(decision) = policies.decide(version, NOW, &mut TestFacts { version: stored, all });
        matches!(decision, CleanupDecision::Delete { .. })
    };
    all.iter().filter(is_deleted).map(|stored| stored.name.clone()).collect()
}

/// A second implementation, which follows the documentation word by word. It computes one set of versions for each
/// policy, from the JSON of the policy.
mod naive {
    use super::*;

    fn has_listed_prefix(policy: &Value, field: &str, name: &str) -> bool {
        match policy[field].as_array() {
            Some(list) if !list.is_empty() => {
                list.iter().any(|prefix| name.find(prefix.as_str().unwrap()) == Some(0))
            }
            _ => true,
        }
    }

    fn seconds(condition: &Value, field: &str) -> Option<i64> {
        condition[field].as_str().map(|text| text.trim_end_matches('s').parse().unwrap())
    }

    fn matching_versions(policy: &Value, all: &[TestVersion]) -> BTreeSet<String> {
        let recent = &policy["mostRecentVersions"];
        let mut matching = BTreeSet::new();
        if recent.is_object() {
            let packages: BTreeSet<&String> = all.iter().map(|version| &version.package).collect();
            for package in packages {
                if has_listed_prefix(recent, "packageNamePrefixes", package) {
                    let mut own: Vec<_> =
                        all.iter().filter(|one| one.package == *package).collect();
                    own.sort_by(|a, b| a.age.cmp(&b.age).then(b.name.cmp(&a.name)));
                    let count = recent["keepCount"].as_u64().unwrap() as usize;
                    matching.extend(own.iter().take(count).map(|one| one.name.clone()));
                }
            }
            return matching;
        }
        let condition = &policy["condition"];
        let margin = if policy["action"] == "DELETE" { 300 } else { 0 };
        for one in all {
            let mut holds = has_listed_prefix(condition, "packageNamePrefixes", &one.package)
                && has_listed_prefix(condition, "versionNamePrefixes", &one.name);
            holds &= match condition["tagState"].as_str() {
                Some("TAGGED") => !one.tags.is_empty(),
                Some("UNTAGGED") => one.tags.is_empty(),
                _ => true,
            };
            if condition["tagPrefixes"].as_array().is_some_and(|list| !list.is_empty()) {
                holds &=
                    one.tags.iter().any(|tag| has_listed_prefix(condition, "tagPrefixes", tag));
            }
            if let Some(least) = seconds(condition, "olderThan") {
                holds &= one.age > least;
            }
            if let Some(most) = seconds(condition, "newerThan") {
                holds &= one.age < most;
            }
            if let Some(least) = seconds(condition, "moreStaleThan") {
                let unused = one.pulled.map_or(one.age, |pulled| pulled.min(one.age));
                holds &= unused > least + margin;
            }
            if holds {
                matching.insert(one.name.clone());
            }
        }
        matching
    }

    pub(super) fn deleted_versions(policies: &[Value], all: &[TestVersion]) -> BTreeSet<String> {
        let matching = |action: &str| -> BTreeSet<String> {
            let own = policies.iter().filter(|policy| policy["action"] == action);
            own.flat_map(|policy| matching_versions(policy, all)).collect()
        };
        matching("DELETE").difference(&matching("KEEP")).cloned().collect()
    }
}

/// A generator of pseudorandom numbers that yields the same numbers in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    /// Returns one of a few ages, which are equal or differ by one second, so that the comparisons are tested at their
    /// limits.
    fn age(&mut self) -> i64 {
        let days = [0, 1, 2, 30][self.below(4) as usize];
        let around = [-1, 0, 1, 299, 300, 301][self.below(6) as usize];
        (days * DAY + around).max(0)
    }

    fn some_of(&mut self, names: &[&str]) -> Vec<String> {
        let some = names.iter().filter(|_| self.one_in(3));
        some.map(|name| (*name).to_owned()).collect()
    }

    fn version(&mut self, number: usize) -> TestVersion {
        let package = ["a", "a/b", "ab", "web"][self.below(4) as usize].to_owned();
        let name = format!("sha256:{:x}{number:03}", self.below(16));
        let pulled = self.one_in(2).then(|| self.age());
        let tags = self.some_of(&["latest", "v1", "v1.0", "v2", "rc-1", "release"]);
        TestVersion { package, name, age: self.age(), pulled, tags }
    }

    fn policy(&mut self, number: usize) -> Value {
        let id = format!("p{number}");
        if self.one_in(4) {
            let packages = self.some_of(&["a", "a/", "web"]);
            let recent = json!({ "packageNamePrefixes": packages, "keepCount": 1 + self.below(4) });
            return json!({ "id": id, "action": "KEEP", "mostRecentVersions": recent });
        }
        let states = ["TAGGED", "UNTAGGED", "ANY", "TAG_STATE_UNSPECIFIED"];
        let mut condition = json!({ "tagState": states[self.below(4) as usize] });
        for (field, prefixes) in [
            ("tagPrefixes", ["v", "v1", "rc", "", "x"]),
            ("versionNamePrefixes", ["sha256:", "sha256:1", "sha256:a", "sha512:", "1"]),
            ("packageNamePrefixes", ["a", "a/", "web", "w", "b"]),
        ] {
            if self.one_in(3) {
                condition[field] = json!(self.some_of(&prefixes));
            }
        }
        for field in ["olderThan", "newerThan", "moreStaleThan"] {
            if self.one_in(4) {
                condition[field] = json!(format!("{}s", self.age()));
            }
        }
        if condition["tagState"] == "TAG_STATE_UNSPECIFIED" {
            // Without another field, this condition would be refused: it sets nothing.
            condition["olderThan"] = json!(format!("{}s", self.age()));
        }
        let action = if self.one_in(3) { "KEEP" } else { "DELETE" };
        json!({ "id": id, "action": action, "condition": condition })
    }
}

#[test]
fn a_naive_model_decides_the_same_on_10_000_repositories() {
    let mut deleted = 0;
    for seed in 0..10_000 {
        let mut dice = Dice(seed);
        let count = dice.below(20) as usize;
        let all: Vec<TestVersion> = (0..count).map(|number| dice.version(number)).collect();
        let count = dice.below(6) as usize;
        let written: Vec<Value> = (0..count).map(|number| dice.policy(number)).collect();
        let policies = CleanupPolicies::parse(&settings(&written)).expect("valid");
        let expected = naive::deleted_versions(&written, &all);
        let actual = deleted_versions(&policies, &all);
        assert_eq!(actual, expected, "seed {seed}: {written:#?} {all:#?}");
        deleted += actual.len();
    }
    assert!(deleted > 10_000, "{deleted}: too few for the comparison to mean anything");
}

/// Checks the decision about one manifest: `-`, or the action and the id of the policy that decided.
#[track_caller]
fn check(policies: &[Value], expected: &str) {
    let policies = CleanupPolicies::parse(&settings(policies)).expect("valid");
    let stored = TestVersion {
        package: "team/web".to_owned(),
        name: "sha256:0123".to_owned(),
        age: 10 * DAY,
        pulled: Some(DAY),
        tags: vec!["1.0".to_owned(), "latest".to_owned()],
    };
    let version = CandidateVersion {
        package: &stored.package,
        name: &stored.name,
        uploaded_at: NOW - stored.age * SECOND,
    };
    let all = [stored.clone()];
    let mut facts = TestFacts { version: &stored, all: &all };
    let Ok(decision) = policies.decide(version, NOW, &mut facts);
    let actual = match decision {
        CleanupDecision::Untouched => "-".to_owned(),
        CleanupDecision::Delete { by } => format!("delete {by}"),
        CleanupDecision::Keep { by } => format!("keep {by}"),
    };
    assert_eq!(actual, expected);
}

fn policy(id: &str, action: &str, condition: Value) -> Value {
    json!({ "id": id, "action": action, "condition": condition })
}

#[test]
fn each_condition() {
    let delete = |condition: Value| [policy("d", "DELETE", condition)];
    check(&[], "-");
    check(&delete(json!({ "tagState": "ANY" })), "delete d");
    check(&delete(json!({ "tagState": "TAGGED" })), "delete d");
    check(&delete(json!({ "tagState": "UNTAGGED" })), "-");
    check(&delete(json!({ "tagPrefixes": ["v", "1"] })), "delete d");
    check(&delete(json!({ "tagPrefixes": ["v", "0"] })), "-");
    check(&delete(json!({ "versionNamePrefixes": ["sha256:1", "sha256:01"] })), "delete d");
    check(&delete(json!({ "versionNamePrefixes": ["01"] })), "-");
    check(&delete(json!({ "packageNamePrefixes": ["team/"] })), "delete d");
    check(&delete(json!({ "packageNamePrefixes": ["team%2Fw"] })), "delete d");
    check(&delete(json!({ "packageNamePrefixes": ["web"] })), "-");
    check(&delete(json!({ "olderThan": "863999s" })), "delete d");
    check(&delete(json!({ "olderThan": "863999.999999s" })), "delete d");
    check(&delete(json!({ "olderThan": "864000s" })), "-");
    check(&delete(json!({ "newerThan": "864001s" })), "delete d");
    check(&delete(json!({ "newerThan": "864000s" })), "-");
    check(&delete(json!({ "moreStaleThan": "86099s" })), "delete d");
    check(&delete(json!({ "moreStaleThan": "86100s" })), "-");
    check(&delete(json!({ "olderThan": "9223372036854775807s" })), "-");
    check(&delete(json!({ "tagState": "TAGGED", "olderThan": "1s", "tagPrefixes": ["x"] })), "-");
}

#[test]
fn keep_beats_delete() {
    let delete = policy("a", "DELETE", json!({ "tagState": "ANY" }));
    let keep = |condition| policy("b", "KEEP", condition);
    check(&[delete.clone(), keep(json!({ "tagPrefixes": ["1"] }))], "keep b");
    check(&[delete.clone(), keep(json!({ "tagPrefixes": ["2"] }))], "delete a");
    check(&[keep(json!({}))], "-");
    check(&[delete.clone(), keep(json!({}))], "keep b");
    check(&[delete.clone(), keep(json!({ "moreStaleThan": "86399s" }))], "keep b");
    let recent =
        |recent: Value| json!({ "id": "c", "action": "KEEP", "mostRecentVersions": recent });
    check(&[delete.clone(), recent(json!({ "keepCount": 1 }))], "keep c");
    let others = json!({ "keepCount": 1, "packageNamePrefixes": ["web"] });
    check(&[delete, recent(others)], "delete a");
}

#[test]
fn only_keep_deletes_nothing() {
    let only_keep = |policies: &[Value]| {
        CleanupPolicies::parse(&settings(policies)).expect("valid").has_only_keep_policies()
    };
    let keep = policy("k", "KEEP", json!({ "tagState": "ANY" }));
    assert!(!only_keep(&[]));
    assert!(only_keep(std::slice::from_ref(&keep)));
    assert!(!only_keep(&[keep, policy("d", "DELETE", json!({ "olderThan": "1s" }))]));
}

/// Checks that one policy is refused, and that the error text contains `problem`.
#[track_caller]
fn check_refused(policy: Value, problem: &str) {
    let settings = json!({ "cleanupPolicies": { "p": policy } }).to_string();
    let refused = CleanupPolicies::parse(&settings).expect_err("it is refused").to_string();
    assert!(refused.contains(problem), "{refused}");
}

#[test]
fn policies_that_are_refused() {
    check_refused(json!({ "id": "q", "action": "KEEP", "condition": {} }), "its own id");
    check_refused(json!({ "id": "p", "condition": {} }), "action");
    check_refused(json!({ "id": "p", "action": 7, "condition": {} }), "action");
    check_refused(json!({ "id": "p", "action": "KEEP" }), "must have either condition");
    check_refused(json!({ "id": "p", "action": "DELETE", "condition": {} }), "sets nothing");
    let state = json!({ "tagState": "TAG_STATE_UNSPECIFIED" });
    check_refused(policy("p", "DELETE", state), "sets nothing");
    check_refused(policy("p", "DELETE", json!({ "tagState": 9 })), "tag_state");
    check_refused(policy("p", "DELETE", json!({ "olderThan": "-1s" })), "older_than");
    check_refused(policy("p", "DELETE", json!({ "moreStaleThan": "1d" })), "more_stale_than");
    let many = vec!["a"; MAX_PREFIXES + 1];
    check_refused(policy("p", "DELETE", json!({ "tagPrefixes": many })), "tag_prefixes");
    check_refused(policy("p", "KEEP", json!({ "tagPrefixes": ["\0"] })), "NUL");
    let recent = |action: &str, count: i64| json!({ "id": "p", "action": action, "mostRecentVersions": { "keepCount": count } });
    check_refused(recent("DELETE", 1), "needs the action KEEP");
    check_refused(recent("KEEP", 0), "keep_count");
    check_refused(recent("KEEP", i64::from(MAX_KEPT) + 1), "keep_count");
    let many: Vec<Value> =
        (0..11).map(|n| policy(&format!("p{n}"), "KEEP", json!({ "tagState": "ANY" }))).collect();
    assert_eq!(CleanupPolicies::parse(&settings(&many)), Err(CleanupError::TooMany));
    assert!(matches!(CleanupPolicies::parse("{"), Err(CleanupError::Document(_))));
    assert_eq!(CleanupPolicies::parse("{}"), Ok(CleanupPolicies::default()));
}

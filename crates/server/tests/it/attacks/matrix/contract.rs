//! The permissions that the contract names for its methods.

use google::AccessRule;

/// The contract names the permission of each method. The permission must have the verb and the noun of the method.
#[test]
fn attack_14_permissions_match_the_method_names() {
    let own_methods = [
        ("ExplainPull", "artifactregistry.repositories.downloadArtifacts"),
        ("ListVirtualReaders", "artifactregistry.repositories.update"),
        ("StopVirtualReader", "artifactregistry.repositories.update"),
        ("ResumeVirtualReader", "artifactregistry.repositories.update"),
    ];
    for method in google::methods() {
        let AccessRule::Permission { permission, resource } = &method.access else { continue };
        let name = method.name.rsplit('.').next().expect("never empty");
        if let Some((_, expected)) = own_methods.iter().find(|(own, _)| *own == name) {
            assert_eq!(permission, expected, "{name}");
            continue;
        }
        let verbs = [
            ("BatchDelete", "delete"),
            ("Delete", "delete"),
            ("Undelete", "undelete"),
            ("List", "list"),
            ("GetIamPolicy", "getIamPolicy"),
            ("SetIamPolicy", "setIamPolicy"),
            // The summary counts the entries of the list.
            ("GetVulnerabilityOccurrencesSummary", "list"),
            ("Get", "get"),
            ("Create", "create"),
            ("Upload", "create"),
            ("Download", "download"),
            ("Update", "update"),
            ("Patch", "update"),
            ("Enable", "enable"),
            ("Disable", "disable"),
        ];
        let (begins, verb) = verbs.iter().find(|(begins, _)| name.starts_with(begins)).expect(name);
        assert!(permission.ends_with(&format!(".{verb}")), "{name} asks for {permission}");
        let noun = name.trim_start_matches(begins).trim_end_matches('s').to_lowercase();
        let noun = match (noun.as_str(), method.name.as_str()) {
            ("repositorie" | "repository", _) => "repositories",
            ("", name) if name.contains("artifactregistry") => "repositories",
            ("", name) if name.contains("iam.admin") => "serviceaccounts",
            ("", name) if name.contains("containeranalysis") => "occurrences",
            ("", name) if name.contains("Organizations") => "organizations",
            ("", name) if name.contains("Projects") => "projects",
            (noun, _) => &format!("{noun}s"),
        };
        let asked = permission.split('.').nth(1).expect("three parts").to_lowercase();
        assert_eq!(asked.trim_end_matches('s'), noun.trim_end_matches('s'), "{name}: {permission}");
        // The permission to create or list is on the parent, because the resource itself is not there.
        let parent = ["Create", "List", "BatchDelete", "GetVulnerability"]
            .iter()
            .any(|begins| name.starts_with(begins));
        let field = resource.as_deref().unwrap_or("parent");
        assert!(!field.ends_with("parent") || parent, "{name}: {field}");
    }
}

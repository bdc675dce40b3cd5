//! Every text of the console, in each of its languages. A text that a language lacks does not compile.

use identity::ChangeWay;

use crate::session::{Done, Message};

/// A setting of an image, whose name depends on the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettingName {
    Platform,
    Author,
    Entrypoint,
    Command,
    User,
    WorkingFolder,
    Ports,
    Volumes,
    StopSignal,
}

/// The texts of one language.
#[derive(Debug)]
pub(crate) struct Texts {
    /// The language, as HTML names it.
    pub(crate) language: &'static str,
    /// The name of the language.
    pub(crate) language_name: &'static str,
    /// The link that leads to the content.
    pub(crate) skip: &'static str,
    /// The label of the search box.
    pub(crate) search: &'static str,
    /// The hint in the search box.
    pub(crate) search_hint: &'static str,
    /// The label of the path to a page.
    pub(crate) breadcrumb: &'static str,
    /// The label of the links to pages about the same thing.
    pub(crate) sections: &'static str,
    /// A heading.
    pub(crate) projects: &'static str,
    /// A column.
    pub(crate) project: &'static str,
    /// A heading.
    pub(crate) repositories: &'static str,
    /// A column.
    pub(crate) repository: &'static str,
    /// A heading.
    pub(crate) images: &'static str,
    /// A column.
    pub(crate) image: &'static str,
    /// A heading.
    pub(crate) tags: &'static str,
    /// A column.
    pub(crate) tag: &'static str,
    /// A heading.
    pub(crate) versions: &'static str,
    /// A heading.
    pub(crate) untagged: &'static str,
    /// A heading.
    pub(crate) history: &'static str,
    /// A heading.
    pub(crate) activity: &'static str,
    /// A heading.
    pub(crate) connect: &'static str,
    /// A heading.
    pub(crate) upstreams: &'static str,
    /// A heading.
    pub(crate) you: &'static str,
    /// A column.
    pub(crate) name: &'static str,
    /// A column.
    pub(crate) mode: &'static str,
    /// A column.
    pub(crate) location: &'static str,
    /// A column: the bytes that are stored.
    pub(crate) stored: &'static str,
    /// A label: the bytes that nothing else needs.
    pub(crate) only_here: &'static str,
    /// A column.
    pub(crate) size: &'static str,
    /// A column.
    pub(crate) created: &'static str,
    /// A column.
    pub(crate) updated: &'static str,
    /// A column.
    pub(crate) pushed: &'static str,
    /// A column.
    pub(crate) newest_tag_column: &'static str,
    /// A column.
    pub(crate) last_push: &'static str,
    /// A label.
    pub(crate) built: &'static str,
    /// A column.
    pub(crate) last_pull: &'static str,
    /// A column.
    pub(crate) pulls: &'static str,
    /// A column.
    pub(crate) digest: &'static str,
    /// The label of the digest of a version.
    pub(crate) image_digest: &'static str,
    /// A column.
    pub(crate) platforms: &'static str,
    /// A column.
    pub(crate) platform: &'static str,
    /// A label.
    pub(crate) media_type: &'static str,
    /// A label.
    pub(crate) artifact_type: &'static str,
    /// A heading.
    pub(crate) layers: &'static str,
    /// A heading.
    pub(crate) configuration: &'static str,
    /// A heading.
    pub(crate) labels: &'static str,
    /// A heading.
    pub(crate) annotations: &'static str,
    /// A label.
    pub(crate) environment: &'static str,
    /// A label.
    pub(crate) entrypoint: &'static str,
    /// A label.
    pub(crate) command: &'static str,
    /// A label.
    pub(crate) user: &'static str,
    /// A label.
    pub(crate) working_folder: &'static str,
    /// A label.
    pub(crate) ports: &'static str,
    /// A label.
    pub(crate) volumes: &'static str,
    /// A label.
    pub(crate) stop_signal: &'static str,
    /// A label.
    pub(crate) author: &'static str,
    /// A heading.
    pub(crate) attachments: &'static str,
    /// A column: what is attached to a version.
    pub(crate) attached: &'static str,
    /// A heading: what names this version.
    pub(crate) used_by: &'static str,
    /// A heading: the version that this one is attached to.
    pub(crate) refers_to: &'static str,
    /// The platform that an attestation is about.
    pub(crate) attestation_for: &'static str,
    /// A heading.
    pub(crate) raw: &'static str,
    /// A link.
    pub(crate) manifest: &'static str,
    /// A link.
    pub(crate) config: &'static str,
    /// A link.
    pub(crate) download: &'static str,
    /// A heading.
    pub(crate) pull: &'static str,
    /// A heading.
    pub(crate) push: &'static str,
    /// A label: the name by which tools know a version.
    pub(crate) reference: &'static str,
    /// A button.
    pub(crate) copy: &'static str,
    /// A sentence of a button after a copy.
    pub(crate) copied: &'static str,
    /// A button.
    pub(crate) filter: &'static str,
    /// The label of a field.
    pub(crate) filter_tags: &'static str,
    /// The label of a field.
    pub(crate) filter_images: &'static str,
    /// A link.
    pub(crate) next_page: &'static str,
    /// A link.
    pub(crate) first_page: &'static str,
    /// The label of a choice.
    pub(crate) rows: &'static str,
    /// A link.
    pub(crate) show_all: &'static str,
    /// A sentence of a list that a filter left empty.
    pub(crate) no_match: &'static str,
    /// A sentence of the search.
    pub(crate) found_nothing: &'static str,
    /// A sentence of a search that did not come to its end.
    pub(crate) search_stopped: &'static str,
    /// A link.
    pub(crate) search_further: &'static str,
    /// A link.
    pub(crate) show_attached_tags: &'static str,
    /// A link.
    pub(crate) hide_attached_tags: &'static str,
    /// A heading.
    pub(crate) same_by_command: &'static str,
    /// A heading and a button.
    pub(crate) sign_in: &'static str,
    /// A button.
    pub(crate) sign_out: &'static str,
    /// A sentence of the page for signing in.
    pub(crate) sign_in_hint: &'static str,
    /// A field.
    pub(crate) email: &'static str,
    /// A field.
    pub(crate) password: &'static str,
    /// A field.
    pub(crate) new_password: &'static str,
    /// A heading and a button.
    pub(crate) set_password: &'static str,
    /// A sentence of the page.
    pub(crate) password_is_set: &'static str,
    /// A sentence of the page where no session can be kept.
    pub(crate) needs_https: &'static str,
    /// The banner of development mode.
    pub(crate) dev_banner: &'static str,
    /// A sentence of the frame to a viewer without a session.
    pub(crate) signed_out_hint: &'static str,
    /// A heading.
    pub(crate) sessions: &'static str,
    /// A label.
    pub(crate) this_session: &'static str,
    /// A button.
    pub(crate) end: &'static str,
    /// A button.
    pub(crate) end_others: &'static str,
    /// A column.
    pub(crate) device: &'static str,
    /// A column.
    pub(crate) address: &'static str,
    /// A column.
    pub(crate) last_seen: &'static str,
    /// A column.
    pub(crate) expires: &'static str,
    /// A sentence of the page in development mode.
    pub(crate) no_session: &'static str,
    /// A heading.
    pub(crate) not_found: &'static str,
    /// A sentence of the page.
    pub(crate) not_found_hint: &'static str,
    /// A heading.
    pub(crate) forbidden: &'static str,
    /// A sentence of the page before it names a permission.
    pub(crate) forbidden_hint: &'static str,
    /// A heading.
    pub(crate) changed: &'static str,
    /// A heading.
    pub(crate) refused: &'static str,
    /// A sentence of the page about a form that was sent to another host than the console's.
    pub(crate) other_host: fn(&str) -> String,
    /// A heading.
    pub(crate) unavailable: &'static str,
    /// A sentence of the page after a fault of the server.
    pub(crate) internal: &'static str,
    /// A sentence of the first page.
    pub(crate) no_projects: &'static str,
    /// A sentence of the page of a project.
    pub(crate) no_repositories: &'static str,
    /// A sentence of the page of a repository.
    pub(crate) no_images: &'static str,
    /// A sentence of the page of a virtual repository.
    pub(crate) no_images_virtual: &'static str,
    /// A sentence of the page of a remote repository.
    pub(crate) no_images_remote: &'static str,
    /// A sentence of the list of untagged versions.
    pub(crate) no_untagged: &'static str,
    /// A sentence of the page of a version.
    pub(crate) no_attachments: &'static str,
    /// A sentence of the page of an index.
    pub(crate) no_layers: &'static str,
    /// A badge.
    pub(crate) immutable_tags: &'static str,
    /// A badge.
    pub(crate) signed: &'static str,
    /// A badge.
    pub(crate) sbom: &'static str,
    /// A badge.
    pub(crate) provenance: &'static str,
    /// A sentence of the list of variables.
    pub(crate) secrets_warning: &'static str,
    /// A sentence of the history of a step without a layer.
    pub(crate) empty_layer: &'static str,
    /// A column.
    pub(crate) step: &'static str,
    /// A sentence of the page of content that a rule holds back.
    pub(crate) rule_denies: &'static str,
    /// A sentence of the page of a version.
    pub(crate) may_not_download: &'static str,
    /// A remark about sizes.
    pub(crate) compressed: &'static str,
    /// A remark about the size of an index.
    pub(crate) shared_once: &'static str,
    /// A heading.
    pub(crate) newest_tag: &'static str,
    /// A remark about a version that an index names.
    pub(crate) part_of: &'static str,
    /// The label of the viewer's menu.
    pub(crate) menu: &'static str,
    /// The label of the choice of a language.
    pub(crate) languages: &'static str,
    /// The label of a list of tools.
    pub(crate) tools: &'static str,
    /// A column.
    pub(crate) select: &'static str,
    /// A button.
    pub(crate) delete: &'static str,
    /// A button.
    pub(crate) delete_selected: &'static str,
    /// A heading and a button.
    pub(crate) compare: &'static str,
    /// A button.
    pub(crate) compare_selected: &'static str,
    /// A heading and a button.
    pub(crate) add_tag: &'static str,
    /// A button.
    pub(crate) remove_tag: &'static str,
    /// A remark about adding a tag.
    pub(crate) move_hint: &'static str,
    /// A button.
    pub(crate) put_back: &'static str,
    /// A column.
    pub(crate) from: &'static str,
    /// A column.
    pub(crate) to: &'static str,
    /// A column.
    pub(crate) actor: &'static str,
    /// A column.
    pub(crate) way: &'static str,
    /// A column.
    pub(crate) time: &'static str,
    /// A link.
    pub(crate) cancel: &'static str,
    /// A sentence of the page after many wrong credentials.
    pub(crate) too_many: &'static str,
    /// A sentence of the page: the number of shared layers and of all, the difference in size, and its sign.
    pub(crate) compare_summary: fn(usize, usize, &str, i64) -> String,
    /// A sentence of the page.
    pub(crate) answered_by: fn(&str) -> String,
    /// The reason for which a version stays.
    pub(crate) has_immutable_tag: fn(&str) -> String,
    /// The reason for which a version stays.
    pub(crate) has_tag: fn(&str) -> String,
    /// A button.
    pub(crate) delete_button: fn(usize) -> String,
    /// A heading.
    pub(crate) delete_heading: fn(usize) -> String,
    /// A sentence of the page for signing in.
    pub(crate) wait_seconds: fn(u64) -> String,
    /// A sentence of the page for signing in.
    pub(crate) network_waits: fn(u64) -> String,
    /// A sentence of the page.
    pub(crate) no_upstream_has_it: &'static str,
    /// A column.
    pub(crate) answer: &'static str,
    /// A heading.
    pub(crate) where_from: &'static str,
    /// The name of the only upstream.
    pub(crate) upstream: &'static str,
    /// A sentence of the page of upstreams.
    pub(crate) upstream_last_failure: fn(&str) -> String,
    /// A sentence of the page of upstreams.
    pub(crate) upstream_retry_after: fn(&str) -> String,
    /// A sentence of the page of upstreams.
    pub(crate) upstream_remaining: fn(&str) -> String,
    /// A sentence of the page of upstreams.
    pub(crate) upstream_is_silent: &'static str,
    /// A column.
    pub(crate) priority: &'static str,
    /// A sentence of the page.
    pub(crate) select_two: &'static str,
    /// A sentence of the page.
    pub(crate) no_difference: &'static str,
    /// A heading.
    pub(crate) in_both: &'static str,
    /// A heading, before A or B.
    pub(crate) only_in: &'static str,
    /// The reason for which a version stays.
    pub(crate) already_gone: &'static str,
    /// The reason for which a version goes.
    pub(crate) attached_to: &'static str,
    /// The reason for which a version goes.
    pub(crate) selected: &'static str,
    /// A remark.
    pub(crate) freed_later: &'static str,
    /// A label.
    pub(crate) would_be_freed: &'static str,
    /// A column.
    pub(crate) reason: &'static str,
    /// A heading.
    pub(crate) stays: &'static str,
    /// A heading.
    pub(crate) goes: &'static str,
    /// A sentence of the page.
    pub(crate) no_activity: &'static str,
    /// A field.
    pub(crate) until: &'static str,
    /// A field.
    pub(crate) since: &'static str,
    /// A column.
    pub(crate) kind: &'static str,
    /// A column.
    pub(crate) push_count: &'static str,
    /// A column.
    pub(crate) pull_count: &'static str,
    /// A column.
    pub(crate) day: &'static str,
    /// A heading.
    pub(crate) by_day: &'static str,
    /// A sentence of the page of a link.
    pub(crate) link_unusable: &'static str,
    /// A sentence of the page for signing in.
    pub(crate) sign_in_busy: &'static str,
    /// A sentence of the page for signing in.
    pub(crate) wrong_password: &'static str,
    /// A sentence of a page after a tag was set.
    pub(crate) tag_was_set: fn(&str) -> String,
    /// A sentence of a page after a tag was removed.
    pub(crate) tag_was_removed: fn(&str) -> String,
    /// A sentence of a page after versions were deleted.
    pub(crate) versions_were_deleted: fn(&str) -> String,
    /// A sentence of a page after a session was ended.
    pub(crate) session_was_ended: fn(&str) -> String,
}

impl Texts {
    /// Returns the word for the way of a change.
    pub(crate) fn way(&self, way: ChangeWay) -> &'static str {
        match (way, self.language) {
            (ChangeWay::Restore, "zh-Hans") => "恢复",
            (ChangeWay::Push, "zh-Hans") => "推送",
            (ChangeWay::Console, "zh-Hans") => "控制台",
            (ChangeWay::Cleanup, "zh-Hans") => "清理策略",
            (ChangeWay::Eviction, "zh-Hans") => "缓存淘汰",
            (ChangeWay::Fetch, "zh-Hans") => "从上游获取",
            (ChangeWay::Operator, "zh-Hans") => "运维命令",
            (ChangeWay::Unknown, _) => "—",
            (ChangeWay::Api, _) => "API",
            (ChangeWay::Restore, _) => "put back",
            (ChangeWay::Push, _) => "push",
            (ChangeWay::Console, _) => "console",
            (ChangeWay::Cleanup, _) => "cleanup policy",
            (ChangeWay::Eviction, _) => "eviction",
            (ChangeWay::Fetch, _) => "fetch from upstream",
            (ChangeWay::Operator, _) => "operator",
        }
    }

    /// Returns the name of a setting of an image.
    pub(crate) fn setting(&self, name: &SettingName) -> &'static str {
        match name {
            SettingName::Platform => self.platform,
            SettingName::Author => self.author,
            SettingName::Entrypoint => self.entrypoint,
            SettingName::Command => self.command,
            SettingName::User => self.user,
            SettingName::WorkingFolder => self.working_folder,
            SettingName::Ports => self.ports,
            SettingName::Volumes => self.volumes,
            SettingName::StopSignal => self.stop_signal,
        }
    }

    /// Returns the sentence for what a form has done.
    pub(crate) fn message(&self, message: &Message) -> String {
        let sentence = match message.done {
            Done::TagSet => self.tag_was_set,
            Done::TagRemoved => self.tag_was_removed,
            Done::VersionsDeleted => self.versions_were_deleted,
            Done::SessionEnded => self.session_was_ended,
        };
        sentence(&message.about)
    }
}

/// The languages of the console, the default one first.
pub(crate) static LANGUAGES: [&Texts; 2] = [&ENGLISH, &CHINESE];

/// Returns the texts of a language by its name in a link.
pub(crate) fn by_name(language: &str) -> Option<&'static Texts> {
    LANGUAGES.into_iter().find(|texts| texts.language == language)
}

/// Returns the texts of the first language of an `Accept-Language` header that the console has.
pub(crate) fn accepted(header: &str) -> &'static Texts {
    let languages = header.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    let known = languages.filter_map(|language| {
        let primary = language.split('-').next().unwrap_or_default();
        LANGUAGES.into_iter().find(|texts| {
            texts.language.split('-').next().is_some_and(|own| own.eq_ignore_ascii_case(primary))
        })
    });
    known.take(1).next().unwrap_or(&ENGLISH)
}

/// English.
static ENGLISH: Texts = Texts {
    language: "en",
    language_name: "English",
    skip: "Skip to the content",
    search: "Search",
    search_hint: "image, tag or sha256:…",
    breadcrumb: "Breadcrumb",
    sections: "Pages",
    projects: "Projects",
    project: "Project",
    repositories: "Repositories",
    repository: "Repository",
    images: "Images",
    image: "Image",
    tags: "Tags",
    tag: "Tag",
    versions: "Versions",
    untagged: "Untagged",
    history: "History",
    activity: "Activity",
    connect: "Connect",
    upstreams: "Upstreams",
    you: "You",
    name: "Name",
    mode: "Mode",
    location: "Location",
    stored: "Stored",
    only_here: "Only here",
    size: "Size",
    created: "Created",
    updated: "Updated",
    pushed: "Pushed",
    newest_tag_column: "Newest tag",
    last_push: "Last push",
    built: "Built",
    last_pull: "Last pull",
    pulls: "Pulls in 30 days",
    digest: "Digest",
    image_digest: "Image digest",
    platforms: "Platforms",
    platform: "Platform",
    media_type: "Media type",
    artifact_type: "Artifact type",
    layers: "Layers",
    configuration: "Configuration",
    labels: "Labels",
    annotations: "Annotations",
    environment: "Environment",
    entrypoint: "Entrypoint",
    command: "Command",
    user: "User",
    working_folder: "Working directory",
    ports: "Ports",
    volumes: "Volumes",
    stop_signal: "Stop signal",
    author: "Author",
    attachments: "Attachments",
    attached: "Attached",
    used_by: "Used by",
    refers_to: "Attached to",
    attestation_for: "attestation for",
    raw: "Manifest and config as stored",
    manifest: "Manifest",
    config: "Config",
    download: "Download",
    pull: "Pull",
    push: "Push",
    reference: "Reference",
    copy: "Copy",
    copied: "Copied",
    filter: "Filter",
    filter_tags: "Tags that begin with",
    filter_images: "Images that contain",
    next_page: "Next page",
    first_page: "First page",
    rows: "Rows",
    show_all: "Show all",
    no_match: "Nothing matches this filter.",
    found_nothing: "Nothing here has this name, or you can't see it:",
    search_stopped: "The search stopped here.",
    search_further: "Search further",
    show_attached_tags: "Show tags of attachments",
    hide_attached_tags: "Hide tags of attachments",
    same_by_command: "The same by command",
    sign_in: "Sign in",
    sign_out: "Sign out",
    sign_in_hint: "Sign in with the e-mail address and the password that you set by your link.",
    email: "E-mail address",
    password: "Password",
    new_password: "New password, at least 12 characters",
    set_password: "Set a password",
    password_is_set: "The password is set. Sign in with it.",
    needs_https: "Signing in needs https, or an address on this machine (localhost). You opened",
    dev_banner: "Development mode: no sign-in, only this machine. Don't put real data here.",
    signed_out_hint: "You are not signed in. You see what everybody may see.",
    sessions: "Sessions",
    this_session: "this one",
    end: "End",
    end_others: "End all other sessions",
    device: "Device",
    address: "Address",
    last_seen: "Last seen",
    expires: "Ends",
    no_session: "Development mode has no sessions.",
    not_found: "Not found",
    not_found_hint: "There is nothing at this address, or you can't see it.",
    forbidden: "Not allowed",
    forbidden_hint: "You can see this, but not change it. It needs the permission",
    changed: "Changed meanwhile",
    refused: "Refused",
    other_host: |url| format!("The console is at {url}. Open it there. Nothing was changed."),
    unavailable: "Not available now",
    internal: "The server could not do this. Its log has the reason, under this number:",
    no_projects: "No project here that you can see. Push an image, and its project appears:",
    no_repositories: "No repository here yet.",
    no_images: "No image here yet. Push one:",
    no_images_virtual: "This repository shows images of its upstreams. They have none.",
    no_images_remote: "Nothing pulled through yet. Try:",
    no_untagged: "Every version has a tag or belongs to an image with one. Nothing to clean.",
    no_attachments: "Nothing is attached. Sign it:",
    no_layers: "An index has no layers of its own: each platform has.",
    immutable_tags: "immutable tags",
    signed: "signed",
    sbom: "SBOM",
    provenance: "provenance",
    secrets_warning: "Some values look like secrets. Everybody who may pull this image can read them.",
    empty_layer: "no layer",
    step: "Step",
    rule_denies: "A rule of this repository does not let its content be downloaded.",
    may_not_download: "You may see that this version is here, but not its content. It needs artifactregistry.repositories.downloadArtifacts.",
    compressed: "Sizes are of what is stored, which is compressed.",
    shared_once: "shared layers count once",
    newest_tag: "Pull the newest tag",
    part_of: "part of",
    menu: "Your menu",
    languages: "Language",
    tools: "Tools",
    select: "Select",
    delete: "Delete",
    delete_selected: "Delete the selected",
    compare: "Compare",
    compare_selected: "Compare the two selected",
    add_tag: "Add a tag",
    remove_tag: "Remove tag",
    move_hint: "A tag that exists is moved here.",
    put_back: "Put back",
    from: "From",
    to: "To",
    actor: "Who",
    way: "How",
    time: "When",
    cancel: "Cancel",
    too_many: "Too many wrong passwords. Wait a minute, then try again.",
    compare_summary: |shared, all, size, difference| {
        let relation = match difference {
            0 => "B is as large as A".to_owned(),
            1.. => format!("B is {size} larger"),
            _ => format!("B is {size} smaller"),
        };
        format!("{shared} of {all} layers are shared; {relation}.")
    },
    answered_by: |upstream| format!("It comes from {upstream}."),
    has_immutable_tag: |tag| format!("its tag {tag} is immutable"),
    has_tag: |tag| format!("it has the tag {tag}"),
    delete_button: |count| match count {
        1 => "Delete 1 version".to_owned(),
        count => format!("Delete {count} versions"),
    },
    delete_heading: |count| match count {
        0 => "Nothing can be deleted".to_owned(),
        1 => "Delete 1 version?".to_owned(),
        count => format!("Delete {count} versions?"),
    },
    wait_seconds: |seconds| format!("Too many wrong passwords. Try again in {seconds} s."),
    network_waits: |seconds| {
        format!("Too many sign-ins come from your network. Try again in {seconds} s.")
    },
    no_upstream_has_it: "No upstream has it.",
    answer: "Answer",
    where_from: "Where does an image come from?",
    upstream: "upstream",
    upstream_last_failure: |at| format!("A request failed at {at}."),
    upstream_retry_after: |at| format!("The registry wants no requests before {at}."),
    upstream_remaining: |count| format!("The registry still allows {count} pulls."),
    upstream_is_silent: "The registry did not answer when it was asked last.",
    priority: "Priority",
    select_two: "Select two versions to compare.",
    no_difference: "No difference.",
    in_both: "In both",
    only_in: "Only in",
    already_gone: "it is gone already",
    attached_to: "attached to",
    selected: "selected",
    freed_later: "The space is free after the collection of unused content.",
    would_be_freed: "Would be freed in this repository",
    reason: "Why",
    stays: "What stays, and why",
    goes: "What goes",
    no_activity: "Nothing happened here yet.",
    until: "To day",
    since: "From day",
    kind: "What",
    push_count: "Pushes",
    pull_count: "Pulls",
    day: "Day (UTC)",
    by_day: "Pulls and pushes by day, the last 30 days",
    link_unusable: "This link was used before, has expired, or is wrong. Ask the operator for a new one.",
    sign_in_busy: "Too many people are signing in at this moment. Try again.",
    wrong_password: "The e-mail address or the password is wrong.",
    tag_was_set: |tag| format!("The tag {tag} is set."),
    tag_was_removed: |tag| format!("The tag {tag} is removed. Its version stays."),
    versions_were_deleted: |count| format!("Deleted: {count}."),
    session_was_ended: |_| "The session is ended.".to_owned(),
};

/// Chinese.
static CHINESE: Texts = Texts {
    language: "zh-Hans",
    language_name: "中文",
    skip: "跳到内容",
    search: "搜索",
    search_hint: "镜像、标签 (tag) 或 sha256:…",
    breadcrumb: "位置",
    sections: "页面",
    projects: "项目",
    project: "项目",
    repositories: "仓库",
    repository: "仓库",
    images: "镜像",
    image: "镜像",
    tags: "标签 (tag)",
    tag: "标签 (tag)",
    versions: "版本",
    untagged: "无标签",
    history: "历史",
    activity: "活动",
    connect: "连接",
    upstreams: "上游",
    you: "我",
    name: "名称",
    mode: "模式",
    location: "位置",
    stored: "已存储",
    only_here: "仅此处",
    size: "大小",
    created: "创建时间",
    updated: "更新时间",
    pushed: "推送时间",
    newest_tag_column: "最新标签",
    last_push: "最近推送",
    built: "构建时间",
    last_pull: "最近拉取",
    pulls: "30 天内拉取",
    digest: "摘要 (digest)",
    image_digest: "映像摘要",
    platforms: "平台",
    platform: "平台",
    media_type: "媒体类型",
    artifact_type: "制品类型",
    layers: "层",
    configuration: "配置",
    labels: "标记",
    annotations: "注解",
    environment: "环境变量",
    entrypoint: "入口点",
    command: "命令",
    user: "用户",
    working_folder: "工作目录",
    ports: "端口",
    volumes: "卷",
    stop_signal: "停止信号",
    author: "作者",
    attachments: "附件",
    attached: "附件",
    used_by: "被引用",
    refers_to: "附属于",
    attestation_for: "证明，对应",
    raw: "存储的清单与配置",
    manifest: "清单",
    config: "配置",
    download: "下载",
    pull: "拉取",
    push: "推送",
    reference: "引用",
    copy: "复制",
    copied: "已复制",
    filter: "筛选",
    filter_tags: "标签前缀",
    filter_images: "镜像名包含",
    next_page: "下一页",
    first_page: "首页",
    rows: "行数",
    show_all: "显示全部",
    no_match: "没有符合筛选条件的内容。",
    found_nothing: "没有此名称的内容，或您无权查看：",
    search_stopped: "搜索在此处停止。",
    search_further: "继续搜索",
    show_attached_tags: "显示附件标签",
    hide_attached_tags: "隐藏附件标签",
    same_by_command: "用命令实现",
    sign_in: "登录",
    sign_out: "退出登录",
    sign_in_hint: "使用电子邮件地址和您通过链接设置的密码登录。",
    email: "电子邮件地址",
    password: "密码",
    new_password: "新密码，至少 12 个字符",
    set_password: "设置密码",
    password_is_set: "密码已设置，请用它登录。",
    needs_https: "登录需要 https，或本机地址 (localhost)。您打开的是",
    dev_banner: "开发模式：无需登录，仅限本机。请勿存放真实数据。",
    signed_out_hint: "您尚未登录，只能看到公开内容。",
    sessions: "会话",
    this_session: "当前会话",
    end: "结束",
    end_others: "结束其他所有会话",
    device: "设备",
    address: "地址",
    last_seen: "最近活动",
    expires: "到期",
    no_session: "开发模式没有会话。",
    not_found: "未找到",
    not_found_hint: "此地址没有内容，或者您无权查看。",
    forbidden: "无权操作",
    forbidden_hint: "您可以查看，但不能更改。需要权限",
    changed: "内容已变更",
    refused: "已拒绝",
    other_host: |url| format!("控制台位于 {url}。请在那里打开。没有任何更改。"),
    unavailable: "暂时不可用",
    internal: "服务器未能完成操作。原因见其日志，编号：",
    no_projects: "没有您可以查看的项目。推送一个镜像，项目就会出现：",
    no_repositories: "还没有仓库。",
    no_images: "还没有镜像。推送一个：",
    no_images_virtual: "此仓库显示其上游的镜像，目前没有。",
    no_images_remote: "尚未拉取任何内容。试试：",
    no_untagged: "每个版本都有标签，或属于有标签的镜像。无需清理。",
    no_attachments: "没有附件。可以签名：",
    no_layers: "索引本身没有层，每个平台各有自己的层。",
    immutable_tags: "标签不可变",
    signed: "已签名",
    sbom: "SBOM",
    provenance: "来源证明",
    secrets_warning: "有些值看起来像密钥。任何可以拉取此镜像的人都能读取它们。",
    empty_layer: "无层",
    step: "步骤",
    rule_denies: "此仓库的规则不允许下载其内容。",
    may_not_download: "您可以看到此版本，但不能查看其内容。需要 artifactregistry.repositories.downloadArtifacts。",
    compressed: "大小为存储的压缩大小。",
    shared_once: "共享层只计一次",
    newest_tag: "拉取最新标签",
    part_of: "属于",
    menu: "您的菜单",
    languages: "语言",
    tools: "工具",
    select: "选择",
    delete: "删除",
    delete_selected: "删除所选",
    compare: "比较",
    compare_selected: "比较所选两项",
    add_tag: "添加标签",
    remove_tag: "移除标签",
    move_hint: "已存在的标签会移动到这里。",
    put_back: "恢复",
    from: "原来",
    to: "现在",
    actor: "操作者",
    way: "方式",
    time: "时间",
    cancel: "取消",
    too_many: "密码错误次数过多。请等待一分钟后重试。",
    compare_summary: |shared, all, size, difference| {
        let relation = match difference {
            0 => "B 与 A 大小相同".to_owned(),
            1.. => format!("B 大 {size}"),
            _ => format!("B 小 {size}"),
        };
        format!("共 {all} 层，其中 {shared} 层共享；{relation}。")
    },
    answered_by: |upstream| format!("它来自 {upstream}。"),
    has_immutable_tag: |tag| format!("其标签 {tag} 不可变"),
    has_tag: |tag| format!("它有标签 {tag}"),
    delete_button: |count| format!("删除 {count} 个版本"),
    delete_heading: |count| match count {
        0 => "没有可删除的内容".to_owned(),
        count => format!("删除 {count} 个版本？"),
    },
    wait_seconds: |seconds| format!("密码错误次数过多。请在 {seconds} 秒后重试。"),
    network_waits: |seconds| format!("来自您所在网络的登录过多。请在 {seconds} 秒后重试。"),
    no_upstream_has_it: "没有上游拥有它。",
    answer: "回答",
    where_from: "镜像来自哪里？",
    upstream: "上游",
    upstream_last_failure: |at| format!("{at} 的一次请求失败。"),
    upstream_retry_after: |at| format!("该注册表要求 {at} 之前不要请求。"),
    upstream_remaining: |count| format!("该注册表还允许 {count} 次拉取。"),
    upstream_is_silent: "上次询问时，该注册表没有回答。",
    priority: "优先级",
    select_two: "请选择两个版本进行比较。",
    no_difference: "没有差异。",
    in_both: "两者共有",
    only_in: "仅在",
    already_gone: "已不存在",
    attached_to: "附属于",
    selected: "所选",
    freed_later: "空间将在回收未使用内容后释放。",
    would_be_freed: "将释放",
    reason: "原因",
    stays: "将保留的内容及原因",
    goes: "将被删除",
    no_activity: "这里还没有发生任何事情。",
    until: "截止日",
    since: "起始日",
    kind: "内容",
    push_count: "推送",
    pull_count: "拉取",
    day: "日期 (UTC)",
    by_day: "最近 30 天每日的拉取与推送",
    link_unusable: "此链接已使用、已过期或有误。请向运维人员索取新链接。",
    sign_in_busy: "此刻登录的人太多，请重试。",
    wrong_password: "电子邮件地址或密码错误。",
    tag_was_set: |tag| format!("标签 {tag} 已设置。"),
    tag_was_removed: |tag| format!("标签 {tag} 已移除，其版本保留。"),
    versions_were_deleted: |count| format!("已删除：{count}。"),
    session_was_ended: |_| "会话已结束。".to_owned(),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_language_is_taken() {
        for (header, expected) in [
            ("", "en"),
            ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
            ("de-DE,de;q=0.9,zh;q=0.5", "zh-Hans"),
            ("en-GB,zh", "en"),
            ("fr", "en"),
        ] {
            assert_eq!(accepted(header).language, expected, "{header}");
        }
    }
}

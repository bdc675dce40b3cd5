//! The parts of a page around its content.

use crate::assets::AssetLinks;
use crate::links::Link;
use crate::texts::Texts;

/// One step of the path to a page.
#[derive(Debug, Clone)]
pub(crate) struct Crumb {
    pub(crate) label: String,
    /// `None` where the viewer may not see the page.
    pub(crate) link: Option<Link>,
}

/// A link to a page about the same thing.
#[derive(Debug, Clone)]
pub(crate) struct Tab {
    pub(crate) label: &'static str,
    pub(crate) link: Link,
    pub(crate) is_current: bool,
}

/// A choice of a language.
#[derive(Debug, Clone)]
pub(crate) struct LanguageLink {
    pub(crate) language: &'static str,
    pub(crate) name: &'static str,
    pub(crate) link: Link,
}

/// The parts of a page around its content.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) t: Texts,
    pub(crate) title: String,
    pub(crate) crumbs: Vec<Crumb>,
    pub(crate) tabs: Vec<Tab>,
    /// The name of the viewer; `None` if signed out.
    pub(crate) viewer: Option<String>,
    pub(crate) sign_in: Link,
    pub(crate) is_dev: bool,
    pub(crate) form_token: String,
    pub(crate) search: String,
    pub(crate) assets: &'static AssetLinks,
    pub(crate) languages: Vec<LanguageLink>,
    /// The sentence about the form that was sent before.
    pub(crate) message: Option<String>,
    /// The commands that say the same as the page.
    pub(crate) commands: Vec<String>,
    /// The sentence about what the commands do otherwise than the page. Empty if they do nothing otherwise.
    pub(crate) commands_note: &'static str,
}

impl Frame {
    /// Sets the path to the page. The names of its steps follow in the title, so that no two pages share a title.
    pub(crate) fn with_crumbs(self, crumbs: Vec<Crumb>) -> Self {
        let named = self.title.rsplit(" · ").next();
        let last = crumbs.iter().rposition(|crumb| Some(crumb.label.as_str()) == named);
        let mut title = self.title;
        // The first step leads to all projects.
        for crumb in crumbs[..last.unwrap_or(0)].iter().skip(1).rev() {
            title.push_str(" · ");
            title.push_str(&crumb.label);
        }
        Self { title, crumbs, ..self }
    }

    pub(crate) fn with_tabs(self, tabs: Vec<Tab>) -> Self {
        Self { tabs, ..self }
    }

    pub(crate) fn with_commands(self, commands: Vec<String>) -> Self {
        Self { commands, ..self }
    }

    pub(crate) fn with_commands_note(self, commands_note: &'static str) -> Self {
        Self { commands_note, ..self }
    }
}

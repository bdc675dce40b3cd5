//! The web console, as a browser without script sees it.

mod changes;
mod hosts;
mod list_pages;
mod lists;
mod pages;
mod rights;
mod sessions;

use http::header::SET_COOKIE;

use crate::util::people::token_of;
use crate::util::{AccountServer, Client, Reply, TestServer};

pub(crate) const PASSWORD: &str = "correct horse battery";
/// The repository in which the tests push.
pub(crate) const REPOSITORY: &str = "my-repo";
/// The page of that repository.
pub(crate) const REPOSITORY_PAGE: &str = "/console/my-project/my-repo";

/// A browser: it keeps cookies, and sends the forms of pages.
#[derive(Clone)]
pub(crate) struct Browser {
    client: Client,
    cookies: Vec<(String, String)>,
}

impl Browser {
    pub(crate) fn new(server: &TestServer) -> Self {
        Self { client: server.anonymous().with_header("accept", "text/html"), cookies: Vec::new() }
    }

    /// A browser in which a person, who is added now, is signed in.
    pub(crate) async fn signed_in(server: &TestServer, email: &str) -> Self {
        let link = server.add_user(email).await["link"].clone();
        let mut browser = Self::new(server);
        let page = format!("/console/-/password/{}", token_of(&link));
        browser.submit(&page, &page, &[("password", PASSWORD)]).await.expect_status(303);
        browser.sign_in(email, PASSWORD).await.expect_status(303);
        browser
    }

    pub(crate) async fn sign_in(&mut self, email: &str, password: &str) -> Reply {
        let fields = [("email", email), ("password", password)];
        self.submit("/console/-/sign-in", "/console/-/sign-in", &fields).await
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let found = self.cookies.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.retain(|(own, _)| own != name);
        self.cookies.push((name.to_owned(), value.to_owned()));
    }

    /// A client that sends the browser's cookies.
    pub(crate) fn client(&self) -> Client {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        if cookies.is_empty() {
            return self.client.clone();
        }
        self.client.clone().with_header("cookie", &cookies)
    }

    fn keep_cookies(&mut self, reply: &Reply) {
        for header in reply.headers.get_all(SET_COOKIE) {
            let header = header.to_str().expect("plain");
            for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(header.contains(attribute), "{header}");
            }
            assert!(!header.contains("Domain"), "{header}");
            let (name, value) =
                header.split(';').next().expect("a pair").split_once('=').expect("=");
            assert!(name.starts_with("__Host-"), "{header}");
            self.cookies.retain(|(own, _)| own != name);
            if !header.contains("Max-Age=0") {
                self.set_cookie(name, value);
            }
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let reply = self.client().get(path).await;
        self.keep_cookies(&reply);
        reply
    }

    /// Follows redirects to other pages of the console.
    pub(crate) async fn open(&mut self, path: &str) -> String {
        let mut path = path.to_owned();
        for _ in 0..5 {
            let reply = self.get(&path).await;
            if reply.status != 303 {
                return reply.expect_status(200).text().into_owned();
            }
            path = reply.header("location").to_owned();
        }
        panic!("{path} leads in a circle");
    }

    /// Sends a form of a page, as a browser does: with the page's token and the origin.
    pub(crate) async fn submit(
        &mut self,
        page: &str,
        action: &str,
        fields: &[(&str, &str)],
    ) -> Reply {
        let html = self.get(page).await.text().into_owned();
        let token = form_token(&html);
        self.post(action, &[&[("token", token.as_str())], fields].concat()).await
    }

    /// Posts fields from a page of the console.
    pub(crate) async fn post(&mut self, action: &str, fields: &[(&str, &str)]) -> Reply {
        let client = self.client().with_header("sec-fetch-site", "same-origin");
        let reply = crate::util::accounts::post_form(&client, action, fields).await;
        self.keep_cookies(&reply);
        reply
    }
}

/// The token of the forms of a page.
pub(crate) fn form_token(html: &str) -> String {
    let (_, rest) = html.split_once("name=\"token\" value=\"").expect("a form");
    rest.split('"').next().expect("a value").to_owned()
}

/// Adds a person with a role on a resource, and signs that person in.
pub(crate) async fn person_with(
    accounts: &AccountServer,
    email: &str,
    (role, resource): (&str, &str),
) -> Browser {
    let browser = Browser::signed_in(&accounts.server, email).await;
    accounts.owner.grant_role(resource, role, &format!("user:{email}")).await;
    browser
}

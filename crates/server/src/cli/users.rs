//! `berth users`: the people who sign in with a password.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::SettingsArguments;
use super::operator::ask;
use crate::operator::{
    ListedSession, ListedUser, OperatorCommand, PrintedLink, UsersAnswer, UsersCommand,
};

/// Adds people who sign in with a password, and disables them.
///
/// A person may do nothing until a policy gives them a role, as user:EMAIL. The setting `admins` names people who
/// administer everything.
#[derive(Debug, Args)]
pub(super) struct UsersArguments {
    #[command(subcommand)]
    command: UsersSubcommand,
}

/// The commands below `berth users`. The help of each one is the doc comment of its own type.
#[derive(Debug, Subcommand)]
enum UsersSubcommand {
    Add(AddArguments),
    List(ListArguments),
    Disable(DisableArguments),
    Enable(EnableArguments),
    Reset(ResetArguments),
    Sessions(SessionsArguments),
    SignOut(SignOutArguments),
}

/// Adds a person, and prints the link by which they set their password.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth users add alice@example.com
  berth users add bob@example.com --name 'Bob Builder'")]
struct AddArguments {
    #[command(flatten)]
    user: UserArguments,
    /// The name of the person, for people to read.
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
}

/// Lists all people.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth users list")]
struct ListArguments {
    #[command(flatten)]
    source: SettingsArguments,
}

/// Disables a person, and signs them out everywhere.
///
/// Their roles stay, for the case that they are enabled again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth users disable alice@example.com")]
struct DisableArguments {
    #[command(flatten)]
    user: UserArguments,
}

/// Enables a person who was disabled, with the password that they had.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth users enable alice@example.com")]
struct EnableArguments {
    #[command(flatten)]
    user: UserArguments,
}

/// Prints a new link by which a person sets another password.
///
/// The link before is good no longer. The person stays signed in until the password is set.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth users reset alice@example.com")]
struct ResetArguments {
    #[command(flatten)]
    user: UserArguments,
}

/// Lists where a person is signed in.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth users sessions alice@example.com")]
struct SessionsArguments {
    #[command(flatten)]
    user: UserArguments,
}

/// Signs a person out everywhere.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  berth users sign-out alice@example.com")]
struct SignOutArguments {
    #[command(flatten)]
    user: UserArguments,
}

/// A person, and the server that knows them.
#[derive(Debug, Args)]
struct UserArguments {
    #[command(flatten)]
    source: SettingsArguments,
    /// The e-mail address of the person.
    #[arg(value_name = "EMAIL")]
    email: String,
}

impl UsersArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            UsersSubcommand::Add(AddArguments { user, name }) => {
                user.ask(|email| UsersCommand::Add { email, name })
            }
            UsersSubcommand::List(ListArguments { source }) => {
                print_answer("", ask_about_users(&source, UsersCommand::List)?)
            }
            UsersSubcommand::Disable(DisableArguments { user }) => {
                user.ask(|email| UsersCommand::Disable { email })
            }
            UsersSubcommand::Enable(EnableArguments { user }) => {
                user.ask(|email| UsersCommand::Enable { email })
            }
            UsersSubcommand::Reset(ResetArguments { user }) => {
                user.ask(|email| UsersCommand::Reset { email })
            }
            UsersSubcommand::Sessions(SessionsArguments { user }) => {
                user.ask(|email| UsersCommand::Sessions { email })
            }
            UsersSubcommand::SignOut(SignOutArguments { user }) => {
                user.ask(|email| UsersCommand::SignOut { email })
            }
        }
    }
}

impl UserArguments {
    /// Sends a command about the person, and prints the answer.
    fn ask(self, command: impl FnOnce(String) -> UsersCommand) -> anyhow::Result<ExitCode> {
        let Self { source, email } = self;
        let answer = ask_about_users(&source, command(email.clone()))?;
        print_answer(&email, answer)
    }
}

fn ask_about_users(
    source: &SettingsArguments,
    command: UsersCommand,
) -> anyhow::Result<UsersAnswer> {
    let command = OperatorCommand::Users { action: command };
    ask(&source.read()?, &command, |_: UsersAnswer| Ok(()))
}

fn print_answer(email: &str, answer: UsersAnswer) -> anyhow::Result<ExitCode> {
    let mut out = stdout().lock();
    match answer {
        UsersAnswer::Added { link, is_admin: true } => {
            writeln!(out, "Added {email}, who administers everything (the setting `admins`).")?;
            write_link(&mut out, &link)?;
        }
        UsersAnswer::Added { link, is_admin: false } => {
            writeln!(out, "Added {email}.")?;
            write_link(&mut out, &link)?;
            writeln!(out, "{email} may do nothing yet. To give a role in a project, for example:")?;
            writeln!(
                out,
                "  gcloud projects add-iam-policy-binding PROJECT --member=user:{email} --role=roles/artifactregistry.reader"
            )?;
        }
        UsersAnswer::Listed(users) => write_users(&mut out, &users)?,
        UsersAnswer::Disabled { ended_sessions, has_administrator } => {
            writeln!(out, "Disabled {email}, and ended {}.", sessions(ended_sessions))?;
            if !has_administrator {
                writeln!(
                    out,
                    "Nobody is left who can sign in and administer everything: `berth owner-key` makes a key of the owner."
                )?;
            }
        }
        UsersAnswer::Enabled => writeln!(out, "Enabled {email}.")?,
        UsersAnswer::Reset(link) => {
            writeln!(out, "Until {email} sets a new password, the old one and all sessions stay.")?;
            write_link(&mut out, &link)?;
        }
        UsersAnswer::Sessions(list) => write_sessions(&mut out, email, &list)?,
        UsersAnswer::SignedOut(ended) => {
            writeln!(out, "Ended {} of {email}.", sessions(ended))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn sessions(count: u64) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}

fn time(micros: i64) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_second(micros.div_euclid(1_000_000))?)
}

fn write_link(out: &mut impl Write, link: &PrintedLink) -> anyhow::Result<()> {
    let PrintedLink { url, expires_at } = link;
    writeln!(
        out,
        "Send this link to that person alone: whoever opens it first sets the password."
    )?;
    writeln!(out, "It is good once, until {}, and is not shown again:", time(*expires_at)?)?;
    Ok(writeln!(out, "  {url}")?)
}

fn write_users(out: &mut impl Write, users: &[ListedUser]) -> anyhow::Result<()> {
    if users.is_empty() {
        return Ok(writeln!(out, "There are no people.")?);
    }
    let width = |text: fn(&ListedUser) -> &str| {
        users.iter().map(|user| text(user).chars().count()).max().unwrap_or_default()
    };
    let (emails, names) =
        (width(|user| &user.email).max("EMAIL".len()), width(|user| &user.name).max("NAME".len()));
    writeln!(out, "{:emails$}  {:names$}  {:15}  ADDED", "EMAIL", "NAME", "STATE")?;
    for ListedUser { email, name, disabled, has_password, created_at } in users {
        let state = match (disabled, has_password) {
            (true, _) => "disabled",
            (false, false) => "no password yet",
            (false, true) => "enabled",
        };
        writeln!(out, "{email:emails$}  {name:names$}  {state:15}  {}", time(*created_at)?)?;
    }
    Ok(())
}

fn write_sessions(
    out: &mut impl Write,
    email: &str,
    sessions: &[ListedSession],
) -> anyhow::Result<()> {
    if sessions.is_empty() {
        return Ok(writeln!(out, "{email} is signed in nowhere.")?);
    }
    for ListedSession { id, created_at, last_seen_at, expires_at, address, agent } in sessions {
        let (created, seen, end) = (time(*created_at)?, time(*last_seen_at)?, time(*expires_at)?);
        let address = address.as_deref().unwrap_or("an unknown address");
        writeln!(out, "{id}  since {created}, last seen {seen}, until {end}")?;
        writeln!(out, "  from {address} with {agent}")?;
    }
    Ok(())
}

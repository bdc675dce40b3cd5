//! The state of the hosts that are asked: how many requests run, how long a host wants to be left alone, and whether it
//! is silent.
//!
//! A host that answers with `Retry-After` is not asked before that time. A host that did not answer a moment ago is not
//! asked whether a cached tag has moved; probes find out when it answers again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use engine::{UpstreamProblem, UpstreamProblemKind as Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::{UpstreamClient, check};

/// The largest number of requests that run at one host, and the longest time for which one waits for its turn.
const MAX_RUNNING: usize = 32;
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The longest time for which a host is left alone because it says so.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
/// The first and the longest time between two probes of a silent host, and the longest time for one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(60);
const PROBE_TIME: Duration = Duration::from_secs(10);
/// The time after which a silent host that nobody asks for is not probed any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// The largest number of hosts that are remembered.
const MAX_HOSTS: usize = 1_000;

/// The state of all hosts.
#[derive(Default)]
pub(super) struct UpstreamHealth(Mutex<HashMap<String, Arc<HostHealth>>>);

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskingFor {
    /// Content that is not cached.
    Content,
    /// The digest that a cached tag names now.
    Confirmation,
}

/// The state of one host.
struct HostHealth {
    places: Arc<Semaphore>,
    state: Mutex<HostState>,
}

#[derive(Debug, Default)]
struct HostState {
    /// The time before which the host wants no requests.
    limited_until: Option<Instant>,
    /// The last time at which a silent host was wanted; `None` if the host is not silent.
    silent: Option<Instant>,
}

/// The reason for which a host is not asked now.
#[derive(Debug, PartialEq, Eq)]
enum NotNow {
    Limited(Duration),
    Silent,
}

impl HostState {
    /// Returns why the host is not asked now, if it is not.
    fn refusal(&mut self, purpose: AskingFor, now: Instant) -> Option<NotNow> {
        if let Some(until) = self.limited_until.filter(|until| *until > now) {
            return Some(NotNow::Limited(until - now));
        }
        self.limited_until = None;
        let wanted = self.silent.as_mut()?;
        *wanted = now;
        (purpose == AskingFor::Confirmation).then_some(NotNow::Silent)
    }

    fn limit(&mut self, retry_after: Duration, now: Instant) {
        let until = now + retry_after.min(MAX_RETRY_AFTER);
        self.limited_until = self.limited_until.max(Some(until));
    }

    /// Notes that the host is silent. Returns whether it was not before.
    fn begin_silence(&mut self, now: Instant) -> bool {
        self.silent.replace(now).is_none()
    }

    /// Ends the silence of a host that nobody wanted for long. Returns whether the host is silent still.
    fn is_silent_and_wanted(&mut self, now: Instant) -> bool {
        self.silent = self.silent.filter(|wanted| now - *wanted < FORGOTTEN_AFTER);
        self.silent.is_some()
    }
}

impl HostHealth {
    fn with_state<T>(&self, change: impl FnOnce(&mut HostState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl UpstreamHealth {
    fn host(&self, name: &str) -> Arc<HostHealth> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return host.clone();
        }
        // Repositories name hosts, so their number needs a bound.
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let places = Arc::new(Semaphore::new(MAX_RUNNING));
        let host = Arc::new(HostHealth { places, state: Mutex::default() });
        hosts.insert(name.to_owned(), host.clone());
        host
    }

    /// Waits for a place at the host of a registry.
    pub(super) async fn begin(
        &self,
        client: &Weak<UpstreamClient>,
        url: &str,
        purpose: AskingFor,
    ) -> Result<UpstreamTurn, UpstreamProblem> {
        let host = self.host(UpstreamProblem::host_of(url));
        let refusal = || host.with_state(|state| state.refusal(purpose, Instant::now()));
        if let Some(refusal) = refusal() {
            return Err(not_now(url, &refusal));
        }
        let Ok(Ok(place)) = timeout(MAX_WAIT, host.places.clone().acquire_owned()).await else {
            let text = "is not asked now: too many requests to it run";
            return Err(UpstreamProblem::new(url, Problem::NotStored, text));
        };
        // The requests before this one may have found out more.
        if let Some(refusal) = refusal() {
            return Err(not_now(url, &refusal));
        }
        Ok(UpstreamTurn {
            host,
            url: url.to_owned(),
            client: client.clone(),
            is_over: false,
            _place: place,
        })
    }
}

/// Returns the problem of a request that is not sent.
fn not_now(url: &str, refusal: &NotNow) -> UpstreamProblem {
    match refusal {
        NotNow::Limited(left) => {
            let seconds = left.as_secs() as u32 + 1;
            let text = format!("limits its answers, and is asked again in {seconds} s");
            let kind = Problem::Limited { retry_after: Some(seconds) };
            UpstreamProblem::new(url, kind, text)
        }
        NotNow::Silent => {
            UpstreamProblem::new(url, Problem::Unreachable, "did not answer a moment ago")
        }
    }
}

/// The turn of one request at a host, which lasts until its answer has come in whole.
pub(super) struct UpstreamTurn {
    host: Arc<HostHealth>,
    url: String,
    client: Weak<UpstreamClient>,
    /// `true` if an answer came, or is not waited for any more.
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl UpstreamTurn {
    /// Notes how the request went, of which the head of the answer is known.
    pub(super) fn note<T>(&mut self, outcome: &Result<T, UpstreamProblem>) {
        self.is_over = true;
        match outcome.as_ref().err().map(|problem| problem.kind) {
            Some(Problem::Limited { retry_after: Some(seconds) }) => {
                let retry_after = Duration::from_secs(seconds.into());
                self.host.with_state(|state| state.limit(retry_after, Instant::now()));
            }
            Some(Problem::Unreachable) => self.begin_silence(),
            _ => self.host.with_state(|state| state.silent = None),
        }
    }

    /// Notes that the host is silent, and begins to probe it.
    fn begin_silence(&self) {
        if self.host.with_state(|state| state.begin_silence(Instant::now()))
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(probe(self.client.clone(), self.host.clone(), self.url.clone()));
        }
    }
}

impl Drop for UpstreamTurn {
    /// A fetch goes on when its clients leave. So whoever gives a request up has waited for as long as a host may take.
    fn drop(&mut self) {
        if !self.is_over {
            self.begin_silence();
        }
    }
}

/// Asks a silent host from time to time, until it answers or nobody wants it any more.
async fn probe(client: Weak<UpstreamClient>, host: Arc<HostHealth>, url: String) {
    let mut pause = FIRST_PAUSE;
    loop {
        sleep(pause).await;
        pause = (2 * pause).min(MAX_PAUSE);
        let Some(client) = client.upgrade() else { return };
        if !host.with_state(|state| state.is_silent_and_wanted(Instant::now())) {
            return;
        }
        match timeout(PROBE_TIME, check::ask(&client, &url)).await {
            Err(_) | Ok(Err(UpstreamProblem { kind: Problem::Unreachable, .. })) => {}
            // Whatever it answers, it answers.
            Ok(Ok(()) | Err(_)) => {
                host.with_state(|state| state.silent = None);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: AskingFor = AskingFor::Content;
    const CONFIRMATION: AskingFor = AskingFor::Confirmation;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_host_that_limits_is_left_alone_for_a_bounded_time() {
        let (mut state, start) = (HostState::default(), Instant::now());
        state.limit(seconds(30), start);
        // A shorter time does not end a longer one.
        state.limit(seconds(5), start);
        let left = state.refusal(CONTENT, start + seconds(10));
        assert_eq!(left, Some(NotNow::Limited(seconds(20))));
        assert_eq!(state.refusal(CONTENT, start + seconds(30)), None);
        state.limit(seconds(u64::from(u32::MAX)), start);
        assert_eq!(state.refusal(CONFIRMATION, start + MAX_RETRY_AFTER), None);
    }

    #[test]
    fn a_silent_host_is_asked_for_content_only() {
        let (mut state, start) = (HostState::default(), Instant::now());
        assert_eq!(state.refusal(CONFIRMATION, start), None);
        assert!(state.begin_silence(start));
        assert!(!state.begin_silence(start), "it is probed once");
        assert_eq!(state.refusal(CONFIRMATION, start), Some(NotNow::Silent));
        assert_eq!(state.refusal(CONTENT, start), None);
    }

    #[test]
    fn a_silent_host_that_nobody_wants_is_forgotten() {
        let (mut state, start) = (HostState::default(), Instant::now());
        state.begin_silence(start);
        let later = start + FORGOTTEN_AFTER / 2;
        state.refusal(CONFIRMATION, later);
        assert!(state.is_silent_and_wanted(start + FORGOTTEN_AFTER));
        assert!(!state.is_silent_and_wanted(later + FORGOTTEN_AFTER));
        assert_eq!(state.refusal(CONFIRMATION, later + FORGOTTEN_AFTER), None);
    }
}

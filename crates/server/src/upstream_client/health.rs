//! The state of the hosts that are asked: how many requests run, how long a host wants to be left alone, whether it is
//! silent, and what those who administer repositories see of it.
//!
//! A host that answers with `Retry-After` is not asked before that time. A host that did not answer a moment ago is not
//! asked whether a cached tag has moved; probes find out when it answers again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use engine::{
    UpstreamFailure, UpstreamProblem, UpstreamProblemKind as Problem, UpstreamRateLimit,
    UpstreamState,
};
use identity::{Clock, Micros, micros};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::{UpstreamClient, check, rate_limit};
use crate::egress::EgressAnswer;

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
pub(super) struct UpstreamHealth {
    hosts: Mutex<HashMap<String, Arc<HostHealth>>>,
    clock: Arc<dyn Clock>,
}

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
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct HostState {
    /// The time before which the host wants no requests.
    limited_until: Option<Instant>,
    /// The last time at which a silent host was wanted; `None` if the host is not silent.
    silent: Option<Instant>,
    /// The limit that the host stated last.
    rate_limit: Option<UpstreamRateLimit>,
    last_failure: Option<UpstreamFailure>,
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

    /// Notes an answer with content, and the limit that it states.
    fn note_content(&mut self, stated: Option<UpstreamRateLimit>) {
        self.silent = None;
        self.rate_limit = stated.or(self.rate_limit);
    }

    /// Notes an answer without content.
    fn note_refusal(&mut self, refusal: UpstreamFailure, now: Instant) {
        self.silent = None;
        if let Problem::Limited { retry_after: Some(seconds) } = refusal.kind {
            self.limit(Duration::from_secs(seconds.into()), now);
        }
        if refusal.kind != Problem::NotFound {
            self.last_failure = Some(refusal);
        }
    }

    /// Returns what is shown at a time, which is `now` and `time` at once.
    fn shown(&self, now: Instant, time: Micros) -> UpstreamState {
        let left = self.limited_until.map(|until| until.saturating_duration_since(now));
        let left = left.filter(|left| !left.is_zero());
        UpstreamState {
            rate_limit: self.rate_limit,
            retry_after: left.map(|left| whole_seconds(time + micros(left))),
            is_silent: self.silent.is_some(),
            last_failure: self.last_failure,
        }
    }

    /// Notes that the host is silent. Returns whether it was not before.
    fn begin_silence(&mut self, failure: UpstreamFailure, now: Instant) -> bool {
        self.last_failure = Some(failure);
        self.silent.replace(now).is_none()
    }

    /// Ends the silence of a host that nobody wanted for long. Returns whether the host is silent still.
    fn is_silent_and_wanted(&mut self, now: Instant) -> bool {
        self.silent = self.silent.filter(|wanted| now - *wanted < FORGOTTEN_AFTER);
        self.silent.is_some()
    }
}

/// Returns the next whole second, so that the same moment is always shown by the same text.
fn whole_seconds(time: Micros) -> Micros {
    const SECOND: Micros = 1_000_000;
    (time + SECOND - 1) / SECOND * SECOND
}

impl HostHealth {
    fn with_state<T>(&self, change: impl FnOnce(&mut HostState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a failure that has just happened.
    fn failure(&self, kind: Problem) -> UpstreamFailure {
        UpstreamFailure { kind, at: self.clock.now() }
    }
}

impl UpstreamHealth {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { hosts: Mutex::default(), clock }
    }

    /// Returns what is shown of the host of a registry.
    pub(super) fn state(&self, url: &str) -> UpstreamState {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.get(UpstreamProblem::host_of(url)).cloned();
        drop(hosts);
        let shown = |state: &mut HostState| state.shown(Instant::now(), self.clock.now());
        host.map(|host| host.with_state(shown)).unwrap_or_default()
    }

    fn host(&self, name: &str) -> Arc<HostHealth> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return host.clone();
        }
        // Repositories name hosts, so their number needs a bound.
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let places = Arc::new(Semaphore::new(MAX_RUNNING));
        let (state, clock) = (Mutex::default(), self.clock.clone());
        let host = Arc::new(HostHealth { places, state, clock });
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
    pub(super) fn note(&mut self, outcome: &Result<EgressAnswer, UpstreamProblem>) {
        self.is_over = true;
        match outcome {
            Ok(answer) => {
                let stated = rate_limit::read(answer);
                self.host.with_state(|state| state.note_content(stated));
            }
            Err(UpstreamProblem { kind: Problem::Unreachable, .. }) => self.begin_silence(),
            Err(problem) => {
                let refusal = self.host.failure(problem.kind);
                self.host.with_state(|state| state.note_refusal(refusal, Instant::now()));
            }
        }
    }

    /// Notes that the host is silent, and begins to probe it.
    fn begin_silence(&self) {
        let failure = self.host.failure(Problem::Unreachable);
        if self.host.with_state(|state| state.begin_silence(failure, Instant::now()))
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
    const NO_ANSWER: UpstreamFailure = UpstreamFailure { kind: Problem::Unreachable, at: 7 };

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
        assert!(state.begin_silence(NO_ANSWER, start));
        assert!(!state.begin_silence(NO_ANSWER, start), "it is probed once");
        assert_eq!(state.refusal(CONFIRMATION, start), Some(NotNow::Silent));
        assert_eq!(state.refusal(CONTENT, start), None);
    }

    #[test]
    fn the_state_of_a_host_is_shown() {
        let (mut state, start) = (HostState::default(), Instant::now());
        let missing = UpstreamFailure { kind: Problem::NotFound, at: 5 };
        state.note_refusal(missing, start);
        assert_eq!(state.shown(start, 0), UpstreamState::default(), "no failure");
        let kind = Problem::Limited { retry_after: Some(30) };
        let limited = UpstreamFailure { kind, at: 6 };
        state.note_refusal(limited, start);
        let shown = UpstreamState { last_failure: Some(limited), ..UpstreamState::default() };
        let until = |time| UpstreamState { retry_after: Some(time), ..shown };
        assert_eq!(state.shown(start, 1), until(31_000_000));
        assert_eq!(state.shown(start + seconds(29), 29_000_001), until(31_000_000));
        assert_eq!(state.shown(start + seconds(30), 30_000_001), shown);
        state.begin_silence(NO_ANSWER, start);
        let last_failure = Some(NO_ANSWER);
        let silent = UpstreamState { is_silent: true, last_failure, ..UpstreamState::default() };
        assert_eq!(state.shown(start + seconds(60), 0), silent);
        let limit = UpstreamRateLimit { remaining: 3, limit: None, window: None };
        state.note_content(Some(limit));
        state.note_content(None);
        let rate_limit = Some(limit);
        let answering = UpstreamState { rate_limit, last_failure, ..UpstreamState::default() };
        assert_eq!(state.shown(start + seconds(60), 0), answering);
    }

    #[test]
    fn a_silent_host_that_nobody_wants_is_forgotten() {
        let (mut state, start) = (HostState::default(), Instant::now());
        state.begin_silence(NO_ANSWER, start);
        let later = start + FORGOTTEN_AFTER / 2;
        state.refusal(CONFIRMATION, later);
        assert!(state.is_silent_and_wanted(start + FORGOTTEN_AFTER));
        assert!(!state.is_silent_and_wanted(later + FORGOTTEN_AFTER));
        assert_eq!(state.refusal(CONFIRMATION, later + FORGOTTEN_AFTER), None);
    }
}

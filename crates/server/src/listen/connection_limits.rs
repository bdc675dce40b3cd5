//! The limits of connections: how many are open at once, and how many of them come from one network.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ListenerKind;
use super::descriptors::{DescriptorLine, MAX_OPERATOR_CONNECTIONS, places_for};
use crate::config::NetworkSetting;
use web::app::App;
use web::layer::log_throttle::LogThrottle;
use web::layer::metrics::Metrics;
use web::layer::network_counter::{NetworkCounter, NetworkPlace};

/// The time for which no connection is accepted after the descriptors ran out.
const PAUSE: Duration = Duration::from_millis(100);

/// The limits of one listener, and the connections that count towards them.
pub(super) struct ConnectionLimits {
    places: Arc<Semaphore>,
    line: DescriptorLine,
    networks: Option<NetworkCounter>,
    proxies: Vec<NetworkSetting>,
    metrics: Metrics,
}

/// A connection that was accepted, and its place among those that may be open.
pub(super) struct AcceptedStream {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) place: ConnectionPlace,
}

/// A place for a connection, which is free again when dropped.
pub(super) struct ConnectionPlace {
    _place: OwnedSemaphorePermit,
    _network_place: Option<NetworkPlace>,
}

impl ConnectionLimits {
    pub(super) fn new(kind: ListenerKind, app: &App, listener: &TcpListener) -> Self {
        let limits = &app.limits;
        let (places, line, networks) = match kind {
            ListenerKind::Clients => {
                let places = match listener.local_addr() {
                    Ok(listen) => places_for(limits.connections, listen),
                    Err(_) => limits.connections,
                };
                // If there are fewer places than the setting says, one network must not take them all.
                let max_per_network = if places < limits.connections {
                    limits.connections_per_network.min(places.div_ceil(2))
                } else {
                    limits.connections_per_network
                };
                let networks = NetworkCounter::new(max_per_network);
                (places, DescriptorLine::of_clients(), Some(networks))
            }
            ListenerKind::Operators => {
                (MAX_OPERATOR_CONNECTIONS, DescriptorLine::of_operators(), None)
            }
        };
        let (places, metrics) = (Arc::new(Semaphore::new(places)), app.metrics.clone());
        Self { places, line, networks, proxies: app.proxies.clone(), metrics }
    }

    /// Waits for a place, and then for a connection. Returns `None` if the connection failed or was refused.
    pub(super) async fn accept(&self, listener: &TcpListener) -> Option<AcceptedStream> {
        let place = self.places.clone().acquire_owned().await;
        let place = place.expect("this semaphore is never closed");
        let (stream, peer) = accept_or_pause(listener.accept()).await?;
        if !self.line.allows(&stream) {
            drop(stream);
            self.metrics.connection_refused("descriptors");
            warn_seldom(&"nearly all files that this process may open are open");
            tokio::time::sleep(PAUSE).await;
            return None;
        }
        let network_place = match &self.networks {
            None => None,
            // The requests of a proxy are counted one by one, with the network that each comes from.
            Some(_) if self.proxies.iter().any(|proxy| proxy.contains(peer.ip())) => None,
            Some(networks) => {
                let Some(network_place) = networks.enter(peer.ip()) else {
                    self.metrics.connection_refused("network");
                    return None;
                };
                Some(network_place)
            }
        };
        let place = ConnectionPlace { _place: place, _network_place: network_place };
        Some(AcceptedStream { stream, peer, place })
    }
}

/// Returns the accepted connection, or pauses and returns `None` if accepting failed.
pub(crate) async fn accept_or_pause<T>(accepted: impl Future<Output = io::Result<T>>) -> Option<T> {
    match accepted.await {
        Ok(connection) => Some(connection),
        Err(error) => {
            // Descriptors have run out, most likely: without a pause the caller would spin.
            warn_seldom(&error);
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

/// Logs at most once in a while, because clients decide how often this happens.
fn warn_seldom(error: &dyn std::fmt::Display) {
    static THROTTLE: LogThrottle = LogThrottle::new();
    if THROTTLE.is_time() {
        tracing::warn!(%error, "cannot accept a connection: {error}");
    }
}

//! Counts of connections and requests for each network. A network is an address of IPv4, or a /64 of IPv6.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use model::client_network::network;

/// The number of connections, or of requests by way of a proxy, of each network. Cheap to clone; every clone is the
/// same count.
#[derive(Debug, Clone)]
pub struct NetworkCounter {
    max_places: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One place of a network, given back when dropped.
#[derive(Debug)]
pub struct NetworkPlace {
    networks: NetworkCounter,
    network: IpAddr,
}

impl NetworkCounter {
    /// Creates a counter that gives each network at most so many places.
    pub fn new(max_places: usize) -> Self {
        Self { max_places, taken: Arc::default() }
    }

    /// Takes a place of the network of an address. Returns `None` if the network has none left.
    pub fn enter(&self, peer: IpAddr) -> Option<NetworkPlace> {
        let network = network(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network).or_default();
        if *count >= self.max_places {
            return None;
        }
        *count += 1;
        Some(NetworkPlace { networks: self.clone(), network })
    }
}

impl Drop for NetworkPlace {
    fn drop(&mut self) {
        let mut taken = self.networks.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_their_part_each() {
        let networks = NetworkCounter::new(2);
        let enter = |address: &str| networks.enter(address.parse().expect("an address"));
        let first = enter("2001:db8:1:2::1").expect("a place");
        let _second = enter("2001:db8:1:2:ffff::9").expect("a place");
        assert!(enter("2001:db8:1:2::1").is_none(), "the same /64");
        let _other = enter("2001:db8:1:3::1").expect("another /64");
        let _v4 =
            [enter("10.0.0.1"), enter("::ffff:10.0.0.1")].map(|place| place.expect("a place"));
        assert!(enter("10.0.0.1").is_none(), "however it is written");
        drop(enter("10.0.0.2").expect("another address"));
        drop(first);
        let _again = enter("2001:db8:1:2::2").expect("free again");
        assert_eq!(
            networks.taken.lock().expect("not poisoned").len(),
            3,
            "nothing is kept of who left"
        );
    }
}

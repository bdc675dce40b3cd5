//! Tells public addresses from all others: those of this machine, of private networks, and those that nobody has.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The IPv4 networks that are not public, by RFC 6890 and its successors, and the metadata addresses of clouds.
const NOT_PUBLIC_4: [&str; 17] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    // Metadata of most clouds: 169.254.169.254.
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    // Azure's, which looks like any other.
    "168.63.129.16/32",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
];

/// The networks within [`GLOBAL_UNICAST_6`] that are not public.
const NOT_PUBLIC_6: [&str; 4] = [
    // Teredo and other protocols: 2001:0::/32 holds an IPv4 address.
    "2001::/23",
    "2001:db8::/32",
    // 6to4 holds an IPv4 address too.
    "2002::/16",
    "3fff::/20",
];

/// The global unicast addresses of IPv6. Outside of them are loopback, link-local, unique local (where clouds have
/// metadata as well), multicast, and addresses that hold an IPv4 address: mapped, compatible, NAT64.
const GLOBAL_UNICAST_6: &str = "2000::/3";

/// Returns whether an address is public: reachable from everywhere.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_4(ip),
        IpAddr::V6(ip) => {
            let holds = |net: &str| net.parse::<Ipv6Net>().expect("a network").contains(&ip);
            holds(GLOBAL_UNICAST_6) && !NOT_PUBLIC_6.into_iter().any(holds)
        }
    }
}

fn is_public_4(ip: Ipv4Addr) -> bool {
    !NOT_PUBLIC_4.iter().any(|net| net.parse::<Ipv4Net>().expect("a network").contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_told_from_others() {
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001:80e::200e",
            "3ffe:ffff::1",
        ] {
            assert!(is_public(ip.parse().expect("an address")), "{ip}");
        }
        for ip in [
            // This machine.
            "127.0.0.1",
            "127.255.255.255",
            "::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            // Private networks.
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            // Links, and the metadata of clouds.
            "169.254.169.254",
            "169.254.170.2",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            // Many at once.
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "ff02::1",
            // Documents and measurements, and what is not given out.
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "2001:db8::1",
            "3fff:0:1::1",
            "240.0.0.1",
            "4000::1",
            // An IPv4 address within one of IPv6.
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a9fe:a9fe",
            "2002:7f00:1::1",
            "2001:0:7f00:1::1",
            "2001:1::1",
        ] {
            assert!(!is_public(ip.parse().expect("an address")), "{ip}");
        }
    }
}

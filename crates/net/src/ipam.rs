//! Which pod has which address: one small file an address, so that a crash at any moment leaves a true table.
//!
//! `<dir>/<address>` holds the sandbox's id and its host ports. Addresses are given out in turn, so that one that was
//! just freed is not used again at once.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::cidr::Cidr;

#[derive(Debug, thiserror::Error)]
pub enum IpamError {
    #[error("all addresses of {0} are in use")]
    Exhausted(Cidr),
    #[error("address table {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// One given address: the sandbox, and a line of text that its owner keeps beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub sandbox: String,
    pub note: String,
}

pub struct Ipam {
    dir: PathBuf,
    grants: BTreeMap<Ipv4Addr, Grant>,
    last: u32,
}

impl Ipam {
    /// Reads the table that an earlier process left.
    pub fn open(dir: &Path) -> Result<Self, IpamError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| IpamError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let mut grants = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(failed(dir))? {
            let path = entry.map_err(failed(dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name.parse::<Ipv4Addr>() {
                Ok(ip) => {
                    let text = fs::read_to_string(&path).map_err(failed(&path))?;
                    let (sandbox, note) = text.split_once('\n').unwrap_or((&text, ""));
                    grants.insert(ip, Grant { sandbox: sandbox.to_owned(), note: note.to_owned() });
                }
                // A leftover of an interrupted write.
                Err(_) => fs::remove_file(&path).map_err(failed(&path))?,
            }
        }
        Ok(Self { dir: dir.to_owned(), grants, last: 1 })
    }

    pub fn grants(&self) -> impl Iterator<Item = (Ipv4Addr, &Grant)> {
        self.grants.iter().map(|(ip, grant)| (*ip, grant))
    }

    /// The sandbox's address: the one that it has, or a free one of `cidr`. The network's own address, the gateway's
    /// (the first) and the last are never given.
    pub fn grant(&mut self, cidr: Cidr, sandbox: &str, note: &str) -> Result<Ipv4Addr, IpamError> {
        let held = self.grants.iter().find(|(ip, grant)| grant.sandbox == sandbox && cidr.contains(**ip));
        if let Some((ip, _)) = held {
            return Ok(*ip);
        }
        let usable = cidr.size().saturating_sub(3);
        let free = (0..usable)
            .map(|step| 2 + (self.last - 1 + step) % usable)
            .find_map(|offset| cidr.nth(offset).filter(|ip| !self.grants.contains_key(ip)).map(|ip| (offset, ip)));
        let (offset, ip) = free.ok_or(IpamError::Exhausted(cidr))?;
        self.write(ip, sandbox, note)?;
        self.last = offset;
        self.grants.insert(ip, Grant { sandbox: sandbox.to_owned(), note: note.to_owned() });
        Ok(ip)
    }

    /// Frees what the sandbox holds; may be repeated.
    pub fn release(&mut self, sandbox: &str) -> Result<Vec<(Ipv4Addr, Grant)>, IpamError> {
        let held: Vec<_> = self.grants.iter().filter(|(_, grant)| grant.sandbox == sandbox).collect();
        let held: Vec<(Ipv4Addr, Grant)> = held.into_iter().map(|(ip, grant)| (*ip, grant.clone())).collect();
        for (ip, _) in &held {
            let path = self.dir.join(ip.to_string());
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(IpamError::Io { path, source }),
                Ok(()) | Err(_) => self.grants.remove(ip),
            };
        }
        Ok(held)
    }

    fn write(&self, ip: Ipv4Addr, sandbox: &str, note: &str) -> Result<(), IpamError> {
        let path = self.dir.join(ip.to_string());
        let new = self.dir.join(format!("{ip}.new"));
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&new)?;
            write!(file, "{sandbox}\n{note}")?;
            fs::rename(&new, &path)
        };
        write().map_err(|source| IpamError::Io { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("ironclad-ipam-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            Self(dir)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn addresses_are_given_in_turn_and_survive_a_restart() {
        let dir = Dir::new("turn");
        let cidr: Cidr = "10.244.0.0/29".parse().unwrap();
        let mut ipam = Ipam::open(&dir.0).unwrap();
        let give = |ipam: &mut Ipam, id: &str| ipam.grant(cidr, id, "note").map(|ip| ip.octets()[3]);
        assert_eq!(give(&mut ipam, "a").unwrap(), 2);
        assert_eq!(give(&mut ipam, "b").unwrap(), 3);
        assert_eq!(give(&mut ipam, "a").unwrap(), 2);
        ipam.release("a").unwrap();
        assert_eq!(give(&mut ipam, "c").unwrap(), 4);

        fs::write(dir.0.join("10.244.0.5.new"), "torn").unwrap();
        let mut ipam = Ipam::open(&dir.0).unwrap();
        assert_eq!(ipam.grants().map(|(_, grant)| grant.sandbox.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        let rest: Vec<u8> = ["d", "e", "f"].map(|id| give(&mut ipam, id).unwrap()).into();
        assert_eq!(rest, [2, 5, 6]);
        assert!(matches!(give(&mut ipam, "g"), Err(IpamError::Exhausted(_))));
    }

    #[test]
    fn releasing_twice_is_fine() {
        let dir = Dir::new("release");
        let mut ipam = Ipam::open(&dir.0).unwrap();
        ipam.grant("10.244.0.0/24".parse().unwrap(), "a", "").unwrap();
        assert_eq!(ipam.release("a").unwrap().len(), 1);
        assert_eq!(ipam.release("a").unwrap(), []);
    }
}

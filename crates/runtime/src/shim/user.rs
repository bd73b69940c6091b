//! Looks a user up in the container's own /etc/passwd and /etc/group, as text: there is no libc to ask in an image.

use std::io::Read;
use std::path::Path;

use linux::process::User;
use linux::root::Root;
use rustix::fs::{Mode, OFlags};

use crate::spec::UserSpec;

/// A passwd or group file larger than this is not read to its end.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The ids, and the home directory for $HOME.
pub fn resolve(root: &Root, wanted: &UserSpec) -> Result<(User, String), String> {
    resolve_in(&read(root, "/etc/passwd"), &read(root, "/etc/group"), wanted)
}

fn read(root: &Root, path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(fd) = root.open_at(Path::new(path), OFlags::RDONLY, Mode::empty()) {
        let _ = std::fs::File::from(fd).take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn resolve_in(passwd: &str, group: &str, wanted: &UserSpec) -> Result<(User, String), String> {
    let (name, group_name) = match wanted.user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (wanted.user.as_str(), None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let by_number = name.parse::<u32>().ok();
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6 && (fields[0] == name || by_number.is_some() && fields[2].parse().ok() == by_number)
    });
    let uid = match (&entry, by_number) {
        (Some(fields), _) => fields[2].parse().map_err(|_| format!("bad uid of user {name} in /etc/passwd"))?,
        (None, Some(uid)) => uid,
        (None, None) => return Err(format!("unable to find user {name}: no matching entries in passwd file")),
    };
    let entry_gid = entry.as_ref().and_then(|fields| fields[3].parse().ok());
    let gid = match (wanted.gid, group_name) {
        (Some(gid), _) => gid,
        (None, Some(group_name)) => gid_of(group, group_name)?,
        (None, None) => entry_gid.unwrap_or(0),
    };
    let mut groups = vec![gid];
    if !wanted.only_these_groups
        && let Some(fields) = &entry
    {
        groups.extend(groups_of(group, fields[0]));
    }
    groups.extend(&wanted.groups);
    groups.sort_unstable();
    groups.dedup();
    let home = entry.map_or("/", |fields| if fields[5].is_empty() { "/" } else { fields[5] }).to_owned();
    Ok((User { uid, gid, groups }, home))
}

fn gid_of(group: &str, name: &str) -> Result<u32, String> {
    let named = group.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f.len() >= 3 && f[0] == name);
    match (named, name.parse()) {
        (Some(fields), _) => fields[2].parse().map_err(|_| format!("bad gid of group {name} in /etc/group")),
        (None, Ok(gid)) => Ok(gid),
        (None, Err(_)) => Err(format!("unable to find group {name}: no matching entries in group file")),
    }
}

fn groups_of<'a>(group: &'a str, user: &'a str) -> impl Iterator<Item = u32> + 'a {
    group.lines().filter_map(move |line| {
        let fields: Vec<_> = line.split(':').collect();
        let member = fields.len() >= 4 && fields[3].split(',').any(|member| member == user);
        if member { fields[2].parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_number_and_group() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/sh\n";
        let group = "root:x:0:\nwww:x:33:\nadm:x:4:www,x\n";
        let check = |user: &str, gid: Option<u32>, wanted: Result<(u32, u32, &[u32], &str), &str>| {
            let spec = UserSpec { user: user.into(), gid, ..UserSpec::default() };
            let got = resolve_in(passwd, group, &spec);
            match (&got, wanted) {
                (Ok((u, home)), Ok(w)) => assert_eq!((u.uid, u.gid, u.groups.as_slice(), home.as_str()), w, "{user}"),
                (Err(error), Err(w)) => assert_eq!(error, w, "{user}"),
                _ => panic!("{user}: {got:?}"),
            }
        };
        check("", None, Ok((0, 0, &[0], "/root")));
        check("www", None, Ok((33, 33, &[4, 33], "/var/www")));
        check("33", None, Ok((33, 33, &[4, 33], "/var/www")));
        check("1000", None, Ok((1000, 0, &[0], "/")));
        check("1000:adm", None, Ok((1000, 4, &[4], "/")));
        check("www:0", Some(7), Ok((33, 7, &[4, 7], "/var/www")));
        check("nobody", None, Err("unable to find user nobody: no matching entries in passwd file"));
        check("0:none", None, Err("unable to find group none: no matching entries in group file"));
    }
}

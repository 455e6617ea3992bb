//! Tests of build directories.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn tree<'t>(files: &[(&str, &'t str)]) -> Tree<'t> {
    let mut all: Files<'t> = files.iter().map(|(n, t)| ((*n).to_owned(), Cow::Borrowed(*t))).collect();
    let listed: BTreeMap<&String, &str> = all.keys().map(|name| (name, "")).collect();
    let manifest = serde_json::json!({ "fwc": "test", "files": listed }).to_string();
    all.insert(manifest::NAME.to_owned(), manifest.into());
    Tree::new(all).unwrap()
}

fn contents(dir: &Path) -> Files<'static> {
    let mut names = BTreeSet::new();
    files_below(dir, "", &mut names).unwrap();
    names
        .into_iter()
        .map(|name| (name.clone(), fs::read_to_string(dir.join(&name)).unwrap().into()))
        .collect()
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_build_is_written_rewritten_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("deep/build");
    let first = tree(&[("hosts/fw/ruleset.nft", "1\n"), ("hosts/old/ruleset.nft", "2\n")]);
    assert!(first.write(&dir).unwrap().changed);
    assert_eq!(contents(&dir), first.files);
    assert_eq!(first.write(&dir).unwrap(), Written { changed: false, removed: Vec::new() });

    let second = tree(&[("hosts/fw/ruleset.nft", "3\n"), ("hosts/new/ruleset.nft", "4\n")]);
    assert_eq!(second.write(&dir).unwrap().removed, ["hosts/old/ruleset.nft"]);
    assert_eq!(contents(&dir), second.files);
    assert_eq!(entries(&dir.join("hosts")), ["fw", "new"], "the emptied folder went, too");
    assert_eq!(entries(dir.parent().unwrap()), ["build"], "nothing is left of the staging");
}

#[test]
fn what_fwc_did_not_write_stays() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("build");
    tree(&[("hosts/fw/ruleset.nft", "1\n"), ("hosts/old/ruleset.nft", "1\n")]).write(&dir).unwrap();
    for name in ["NOTES", ".git/config", "hosts/fw/todo", "hosts/old/todo"] {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), name).unwrap();
    }
    fs::create_dir(dir.join("empty")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.join("link")).unwrap();
    tree(&[("hosts/fw/ruleset.nft", "2\n")]).write(&dir).unwrap();
    assert_eq!(entries(&dir), [".git", "NOTES", "empty", "hosts", "link", "manifest.json"]);
    assert_eq!(entries(&dir.join("hosts/old")), ["todo"]);
    assert_eq!(fs::read_to_string(dir.join("hosts/fw/todo")).unwrap(), "hosts/fw/todo");
    assert_eq!(entries(place.path()), ["build"]);
}

#[test]
fn a_folder_of_someone_else_is_refused_and_untouched() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("thesis.tex"), "x").unwrap();
    let refusal = tree(&[("a", "1")]).write(place.path()).unwrap_err();
    assert!(format!("{refusal:?}").contains("no manifest of fwc"));
    assert_eq!(entries(place.path()), ["thesis.tex"]);

    let dir = place.path().join("build");
    tree(&[("a", "1")]).write(&dir).unwrap();
    for (theirs, ours) in [("b", "b"), ("c", "c/d"), ("e/f", "e")] {
        fs::create_dir_all(dir.join(theirs).parent().unwrap()).unwrap();
        fs::write(dir.join(theirs), "theirs").unwrap();
        let refusal = tree(&[(ours, "1")]).write(&dir).unwrap_err();
        assert!(format!("{refusal:?}").contains("is in the way"), "{theirs}");
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "1");
        fs::remove_file(dir.join(theirs)).unwrap();
    }
}

#[test]
fn an_empty_folder_and_a_link_to_one_are_taken() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("build");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink("build", place.path().join("link")).unwrap();
    tree(&[("a", "1")]).write(&place.path().join("link")).unwrap();
    assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "1");
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o750);
    assert!(fs::symlink_metadata(place.path().join("link")).unwrap().is_symlink());
}

#[test]
fn a_failure_leaves_everything_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("build");
    let first = tree(&[("a", "1")]);
    first.write(&dir).unwrap();
    // A name longer than file systems allow fails in the middle of the staging, also for root.
    let long = "x".repeat(300);
    assert!(tree(&[("a", "2"), (long.as_str(), "3")]).write(&dir).is_err());
    assert_eq!(contents(&dir), first.files);
    assert_eq!(entries(place.path()), ["build"]);
    assert!(tree(&[(long.as_str(), "3")]).write(&place.path().join("new")).is_err());
    assert_eq!(entries(place.path()), ["build"]);
    fs::write(place.path().join("file"), "").unwrap();
    assert!(first.write(&place.path().join("file")).is_err());
    assert!(first.write(&place.path().join("file/below")).is_err());
}

#[test]
fn a_folder_that_cannot_be_written_says_so() {
    if nix::unistd::geteuid().is_root() {
        return; // root may write anywhere; the long name above fails for root, too
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let refusal = tree(&[("a", "1")]).write(&place.path().join("build")).unwrap_err();
    assert!(format!("{refusal:?}").contains("permission denied"));
}

#[test]
fn names_stay_inside() {
    for name in ["", "/etc/x", "../x", "a/../../x", "a/", "./a", "a\0b"] {
        let all = BTreeMap::from([(name.to_owned(), Cow::Borrowed(""))]);
        assert!(Tree::new(all).is_err(), "{name:?}");
    }
}

#[test]
fn differences_are_told_file_by_file() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("build");
    let first = tree(&[("a", "1\n"), ("b", "2\n")]);
    first.write(&dir).unwrap();
    fs::write(dir.join("README"), "theirs").unwrap();
    assert_eq!(first.differences(&dir, None).unwrap(), []);
    let second = tree(&[("a", "one\n"), ("c", "3\n")]);
    let found = second.differences(&dir, None).unwrap();
    let kinds: Vec<(&str, &str)> = found.iter().map(|d| (d.path.as_str(), d.kind)).collect();
    assert_eq!(kinds, [("a", "changed"), ("b", "left over"), ("c", "missing"), ("manifest.json", "changed")]);
    assert!(found[0].text.contains("-1\n+one\n"));
    assert!(second.differences(&place.path().join("none"), None).is_err());
}

#[test]
fn a_file_is_replaced_at_once_and_keeps_its_mode() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("p.fw");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("p.fw", place.path().join("link")).unwrap();
    replace(&place.path().join("link"), "new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(entries(place.path()), ["link", "p.fw"]);
}

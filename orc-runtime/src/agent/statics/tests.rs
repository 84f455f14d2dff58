use super::*;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: host}]}\n";

fn statics(folder: &Path) -> Statics {
    Statics::new(Some(folder.to_owned()), "Node-1")
}

#[test]
fn files_come_change_break_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let (yaml, json) = (dir.path().join("a.yaml"), dir.path().join("b.json"));
    fs::write(&yaml, POD).unwrap();
    fs::write(dir.path().join(".hidden.yaml"), POD).unwrap();
    fs::write(dir.path().join("notes.txt"), "no pod").unwrap();
    fs::write(
        &json,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"api","namespace":"kube-system"},
        "spec":{"containers":[{"name":"c","image":"host"}]}}"#,
    )
    .unwrap();
    let statics = statics(dir.path());
    let keys = statics.look();
    let names: Vec<_> = keys.iter().map(|key| format!("{}/{}", key.namespace_str(), key.name)).collect();
    assert_eq!(names, ["default/web-node-1", "kube-system/api-node-1"]);
    assert!(statics.look().is_empty(), "nothing changed");
    let web = keys.first().unwrap();
    let first = statics.get(web).unwrap();
    let uid = first.metadata.uid.clone().unwrap();
    assert_eq!((annotation(&first, HASH), annotation(&first, SOURCE)), (Some(uid.as_str()), Some("file")));
    assert!(is_static(&first) && first.spec.as_ref().unwrap().node_name.as_deref() == Some("Node-1"));
    // Broken: the pod stays as it was.
    fs::write(&yaml, "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: 5}\n").unwrap();
    assert!(statics.look().is_empty());
    assert_eq!(statics.get(web), Some(first));
    fs::write(&yaml, POD.replace("image: host", "image: host, command: [x]")).unwrap();
    assert_eq!(statics.look(), [web.clone()].into());
    assert_ne!(statics.get(web).unwrap().metadata.uid, Some(uid), "another content is another pod");
    fs::remove_file(&yaml).unwrap();
    assert_eq!(statics.look(), [web.clone()].into());
    assert_eq!(statics.keys().len(), 1);
    // A folder that cannot be read takes nothing away.
    fs::remove_dir_all(dir.path()).unwrap();
    assert!(statics.look().is_empty());
    assert_eq!(statics.keys().len(), 1);
}

#[test]
fn what_is_no_static_pod_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    for (text, want) in [
        ("", "it does not hold exactly one pod"),
        ("a: [", "line"),
        ("apiVersion: apps/v1\nkind: Deployment\n", "it is \"Deployment\" of \"apps/v1\", not a Pod of \"v1\""),
        (&POD.replace("name: c,", "name: c, imagee: x,"), "unknown field \"spec.containers[0].imagee\""),
        (&POD.replace("{name: web}", "{}"), "metadata.name: Required value"),
        (&POD.replace("{name: web}", "{name: we_b}"), "metadata.name: Invalid value: \"we_b-n\""),
        (&POD.replace("[{name: c, image: host}]", "[]"), "spec.containers: Required value"),
        (&POD.replace("spec: {", "spec: {serviceAccountName: x, "), "static pods may not reference a service account"),
        (
            &POD.replace("image: host", "image: host, envFrom: [{secretRef: {name: s}}]"),
            "static pods may not reference secrets",
        ),
        (&format!("{POD}---\n{POD}"), "it does not hold exactly one pod"),
    ] {
        fs::write(&path, text).unwrap();
        let error = file::read(&path, "n").unwrap_err();
        assert!(error.contains(want), "{text:?} says {error:?}, not {want:?}");
    }
}

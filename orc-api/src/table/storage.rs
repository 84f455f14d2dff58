//! Config maps, secrets, volumes and claims.

use serde_json::Value;

use super::{Row, join, none_if_empty};

pub(super) fn cell(id: &str, column: &str, row: &Row<'_>) -> Option<Value> {
    Some(match (id, column) {
        ("configmaps", "Data") => (row.len("/data") + row.len("/binaryData")).into(),
        ("secrets", "Type") => row.text("/type").into(),
        ("secrets", "Data") => row.len("/data").into(),
        ("persistentvolumes" | "persistentvolumeclaims", "Status") => phase(row).into(),
        ("persistentvolumes" | "persistentvolumeclaims", "StorageClass") => row.text("/spec/storageClassName").into(),
        ("persistentvolumes" | "persistentvolumeclaims", "VolumeAttributesClass") => {
            row.text_or("/spec/volumeAttributesClassName", "<unset>").into()
        }
        ("persistentvolumes" | "persistentvolumeclaims", "VolumeMode") => {
            row.text_or("/spec/volumeMode", "<unset>").into()
        }
        ("persistentvolumeclaims", "Volume") => row.text("/spec/volumeName").into(),
        ("persistentvolumeclaims", "Capacity") if row.text("/spec/volumeName").is_empty() => "".into(),
        ("persistentvolumeclaims", "Capacity") => row.text("/status/capacity/storage").into(),
        ("persistentvolumeclaims", "Access Modes") if row.text("/spec/volumeName").is_empty() => "".into(),
        ("persistentvolumeclaims", "Access Modes") => modes(row, "/status/accessModes").into(),
        ("persistentvolumes", "Capacity") => row.text("/spec/capacity/storage").into(),
        ("persistentvolumes", "Access Modes") => modes(row, "/spec/accessModes").into(),
        ("persistentvolumes", "Reclaim Policy") => row.text("/spec/persistentVolumeReclaimPolicy").into(),
        ("persistentvolumes", "Claim") => claim(row).into(),
        ("persistentvolumes", "Reason") => row.text("/status/reason").into(),
        ("storageclasses.storage.k8s.io", "Name") => storage_class(row).into(),
        ("storageclasses.storage.k8s.io", "Provisioner") => row.text("/provisioner").into(),
        ("storageclasses.storage.k8s.io", "ReclaimPolicy") => row.text_or("/reclaimPolicy", "Delete").into(),
        ("storageclasses.storage.k8s.io", "VolumeBindingMode") => row.text_or("/volumeBindingMode", "Immediate").into(),
        ("storageclasses.storage.k8s.io", "AllowVolumeExpansion") => (row.get("/allowVolumeExpansion") == true).into(),
        ("volumeattachments.storage.k8s.io", "Attacher") => row.text("/spec/attacher").into(),
        ("volumeattachments.storage.k8s.io", "PV") => row.text("/spec/source/persistentVolumeName").into(),
        ("volumeattachments.storage.k8s.io", "Node") => row.text("/spec/nodeName").into(),
        ("volumeattachments.storage.k8s.io", "Attached") => (row.get("/status/attached") == true).into(),
        ("volumeattributesclasses.storage.k8s.io", "DriverName") => row.text("/driverName").into(),
        ("csinodes.storage.k8s.io", "Drivers") => row.len("/spec/drivers").into(),
        ("csidrivers.storage.k8s.io", "AttachRequired") => (row.get("/spec/attachRequired") != false).into(),
        ("csidrivers.storage.k8s.io", "PodInfoOnMount") => (row.get("/spec/podInfoOnMount") == true).into(),
        ("csidrivers.storage.k8s.io", "StorageCapacity") => (row.get("/spec/storageCapacity") == true).into(),
        ("csidrivers.storage.k8s.io", "TokenRequests") => audiences(row).into(),
        ("csidrivers.storage.k8s.io", "RequiresRepublish") => (row.get("/spec/requiresRepublish") == true).into(),
        ("csidrivers.storage.k8s.io", "Modes") => {
            none_if_empty(join(row.list("/spec/volumeLifecycleModes").iter().filter_map(Value::as_str), ",")).into()
        }
        _ => return None,
    })
}

fn phase<'a>(row: &Row<'a>) -> &'a str {
    if row.get("/metadata/deletionTimestamp").is_null() { row.text("/status/phase") } else { "Terminating" }
}

fn modes(row: &Row<'_>, pointer: &str) -> String {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    join(row.list(pointer).iter().filter_map(Value::as_str).map(short), ",")
}

fn claim(row: &Row<'_>) -> String {
    match row.text("/spec/claimRef/name") {
        "" => String::new(),
        name => format!("{}/{name}", row.text("/spec/claimRef/namespace")),
    }
}

fn storage_class(row: &Row<'_>) -> String {
    let annotations = row.get("/metadata/annotations");
    let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let name = row.text("/metadata/name");
    let default = marks.iter().any(|mark| annotations.get(*mark).is_some_and(|value| value == "true"));
    if default { format!("{name} (default)") } else { name.to_owned() }
}

fn audiences(row: &Row<'_>) -> String {
    let all = row.list("/spec/tokenRequests").iter().filter_map(|t| t["audience"].as_str());
    let text = join(all, ",");
    if text.is_empty() { "<unset>".to_owned() } else { text }
}

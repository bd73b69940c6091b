//! Laws that must hold for any input: quantities, normal form, patches and server-side apply.

use proptest::prelude::*;
use serde_json::{Map as Json, Value, json};

use crate::quantity::{Format, Quantity};
use crate::schema::{self, Schema};
use crate::{apply, patch};

fn pod() -> Schema<'static> {
    schema::builtin().lookup("io.k8s.api.core.v1.Pod").unwrap()
}

fn writer(manager: &'static str) -> apply::Writer<'static> {
    apply::Writer {
        manager,
        api_version: "v1",
        subresource: "",
        now: jiff::Timestamp::UNIX_EPOCH,
        reset: &["status"],
        also: &[],
    }
}

fn quantity() -> impl Strategy<Value = String> {
    let suffix = prop::sample::select(vec!["", "m", "u", "n", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "E-2"]);
    (any::<bool>(), 0_u32..100_000, prop::option::of(0_u32..1000), suffix).prop_map(
        |(negative, whole, part, suffix)| {
            let sign = if negative { "-" } else { "" };
            part.map_or_else(|| format!("{sign}{whole}{suffix}"), |part| format!("{sign}{whole}.{part}{suffix}"))
        },
    )
}

/// A container with some of its fields; few names, so that lists of them overlap.
fn containers() -> impl Strategy<Value = Value> {
    let one = (prop::sample::select(vec!["a", "b", "c", "d"]), prop::option::of("[xyz]"), prop::option::of(1_u16..4));
    prop::collection::btree_map(one.clone().prop_map(|(name, _, _)| name), one, 1..4).prop_map(|all| {
        all.into_iter()
            .map(|(name, (_, image, port))| {
                let mut container = json!({ "name": name });
                if let Some(image) = image {
                    container["image"] = image.into();
                }
                if let Some(port) = port {
                    container["ports"] = json!([{ "containerPort": port, "protocol": "TCP" }]);
                }
                container
            })
            .collect()
    })
}

fn object() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map("[a-c]", "[0-2]", 0..3);
    (containers(), labels).prop_map(|(containers, labels)| {
        let labels: Json<String, Value> = labels.into_iter().map(|(key, value)| (key, value.into())).collect();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels}, "spec": {"containers": containers}})
    })
}

fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    apply::strip(&mut bare);
    schema::normalize(&mut bare, pod());
    bare
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_quantity_reads_back_as_the_same_amount_and_text(text in quantity()) {
        let amount = Quantity::parse(&text).unwrap();
        let printed = amount.to_string();
        let again = Quantity::parse(&printed).unwrap();
        // Binary amounts are printed in whole units, rounded up.
        if amount.format() == Format::Binary {
            prop_assert_eq!(again.value(), amount.value());
        } else {
            prop_assert_eq!(again, amount);
        }
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn quantities_add_and_subtract_exactly(a in quantity(), b in quantity()) {
        let (a, b) = (Quantity::parse(&a).unwrap(), Quantity::parse(&b).unwrap());
        prop_assert_eq!((a + b) - b, a);
        prop_assert_eq!(a + b, b + a);
    }

    #[test]
    fn normal_form_and_defaults_are_idempotent(object in object()) {
        let mut once = object;
        schema::apply_defaults(&mut once, pod());
        schema::normalize(&mut once, pod());
        let mut twice = once.clone();
        schema::apply_defaults(&mut twice, pod());
        schema::normalize(&mut twice, pod());
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn an_object_is_its_own_strategic_patch(object in object()) {
        let patched = patch::strategic_tree(&object, object.clone(), pod()).unwrap();
        prop_assert_eq!(patched, object);
    }

    #[test]
    fn a_strategic_patch_applied_twice_changes_nothing_more(live in object(), change in object()) {
        let once = patch::strategic_tree(&live, change.clone(), pod()).unwrap();
        let twice = patch::strategic_tree(&once, change, pod()).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn applying_twice_changes_nothing_more(live in object(), config in object()) {
        let mut live = live;
        apply::track_update(None, &mut live, pod(), writer("creator"));
        let once = apply::apply(Some(&live), &config, true, pod(), writer("m")).unwrap();
        let twice = apply::apply(Some(&once), &config, false, pod(), writer("m")).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn what_one_applier_made_goes_when_it_applies_nothing(config in object()) {
        let made = apply::apply(None, &config, false, pod(), writer("m")).unwrap();
        let empty = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        let gone = apply::apply(Some(&made), &empty, false, pod(), writer("m")).unwrap();
        prop_assert_eq!(bare(&gone), bare(&empty));
    }

    #[test]
    fn a_configuration_wins_and_others_fields_stay(one in object(), two in object()) {
        let first = apply::apply(None, &one, false, pod(), writer("m1")).unwrap();
        let both = apply::apply(Some(&first), &two, true, pod(), writer("m2")).unwrap();
        let merged = patch::strategic_tree(&bare(&first), bare(&two), pod()).unwrap();
        let names = |object: &Value| {
            let list = object["spec"]["containers"].as_array().cloned().unwrap_or_default();
            // The two differ in where they put new items, and in nothing else.
            let mut names: Vec<String> = list.into_iter().map(|mut container| {
                if let Some(ports) = container.get_mut("ports").and_then(Value::as_array_mut) {
                    ports.sort_by_key(ToString::to_string);
                }
                container.to_string()
            }).collect();
            names.sort();
            names
        };
        prop_assert_eq!(names(&bare(&both)), names(&bare(&merged)));
    }
}

#[test]
fn quantities_are_printed_as_upstream_prints_them() {
    let cases = [
        "1000m",
        "0.5",
        "1024Mi",
        "1e3",
        "1500m",
        "0.5Gi",
        "128974848",
        "12e6",
        "1.1Ki",
        "100Ki",
        "0",
        "-1.5",
        "1E",
        "10E",
        "1000Ki",
        "512",
    ];
    let print = |text: &str| format!("{text}={} ", Quantity::parse(text).unwrap());
    expect_test::expect![[
        r#"1000m=1 0.5=500m 1024Mi=1Gi 1e3=1e3 1500m=1500m 0.5Gi=512Mi 128974848=128974848 12e6=12e6 1.1Ki=1127 100Ki=100Ki 0=0 -1.5=-1500m 1E=1E 10E=9223372036854775807 1000Ki=1000Ki 512=512 "#
    ]]
    .assert_eq(&cases.map(print).concat());
    let wrong = ["", "x", "1.2.3", "1Xi", "1mm", "--1", "."];
    let refuse = |text: &str| format!("{text:?}: {}\n", Quantity::parse(text).unwrap_err());
    expect_test::expect![[r#"
        "": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
        "x": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
        "1.2.3": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
        "1Xi": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
        "1mm": unable to parse quantity's suffix
        "--1": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
        ".": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
    "#]]
    .assert_eq(&wrong.map(refuse).concat());
}

//! Definitions and the reasons why they are refused, in upstream's order and words.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::definition_rules;

/// A definition with one version and this schema.
pub fn definition(schema: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "ws.g.io" },
        "spec": {
            "group": "g.io", "scope": "Namespaced",
            "names": { "plural": "ws", "singular": "w", "kind": "W", "listKind": "WList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
            "conversion": { "strategy": "None" },
        },
        "status": { "acceptedNames": { "plural": "", "kind": "" }, "storedVersions": ["v1"] },
    })
}

fn check(definition: &Value, expected: Expect) {
    let causes = definition_rules::create(definition);
    let text: String = causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect();
    expected.assert_eq(&text.replace("spec.validation.openAPIV3Schema", "~"));
}

fn check_schema(schema: Value, expected: Expect) {
    check(&definition(schema), expected);
}

#[test]
fn types_must_be_told_once_and_outside_of_junctors() {
    check_schema(json!({ "type": "object", "properties": { "a": { "type": "string" } } }), expect![""]);
    check_schema(
        json!({ "properties": { "a": {}, "b": { "type": "array" }, "c": { "type": "nope" } } }),
        expect![[r#"
        ~.properties[a].type: Required value: must not be empty for specified object fields
        ~.properties[b].items: Required value: must be specified
        ~.type: Required value: must not be empty at the root
        ~.properties[c].type: Unsupported value: "nope": supported values: "array", "boolean", "integer", "number", "object", "string"
    "#]],
    );
    check_schema(
        json!({ "type": "object", "properties": {
            "a": { "type": "object", "anyOf": [{ "type": "string" }, { "properties": { "x": { "minimum": 1 } } }] },
            "b": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] },
            "c": { "type": "array", "items": { "type": "string", "pattern": "(" } },
            "metadata": { "type": "object", "properties": { "labels": { "type": "object" } } },
        } }),
        expect![[r#"
            ~.properties[a].anyOf[0].type: Forbidden: must be empty to be structural
            ~.properties[a].properties[x]: Required value: because it is defined in ~.properties[a].anyOf[1].properties[x]
            ~.properties[c].items.pattern: Invalid value: "(": must be a valid regular expression, but isn't: error parsing regexp: unclosed group
            ~.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified
        "#]],
    );
    check_schema(
        json!({ "type": "object", "additionalProperties": true, "nullable": true, "properties": {
            "kind": { "type": "integer" }, "e": { "type": "object", "x-kubernetes-embedded-resource": true },
            "f": { "type": "string", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true },
        } }),
        expect![[r#"
            ~.nullable: Forbidden: nullable cannot be true at the root
            ~.additionalProperties: Forbidden: must not be used at the root
            ~.properties[e].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields
            ~.properties[f].type: Invalid value: "string": must be object if x-kubernetes-embedded-resource is true
            ~.properties[kind].type: Invalid value: "integer": must be string
        "#]],
    );
}

#[test]
fn what_the_dialect_leaves_out_is_refused() {
    check_schema(
        json!({ "type": "object", "properties": {
            "a": { "type": "array", "items": [{ "type": "string" }] }, "b": { "$ref": "#/x" }, "c": { "type": "string", "id": "x" },
            "d": { "type": "array", "uniqueItems": true, "items": { "type": "string" } },
            "e": { "type": "object", "properties": { "x": { "type": "string" } }, "additionalProperties": { "type": "string" } },
            "f": { "type": "object", "x-kubernetes-preserve-unknown-fields": false },
        } }),
        expect![[r#"
            ~.properties[a].items: Forbidden: items must be a schema object and not an array
            ~.properties[b].$ref: Forbidden: $ref is not supported
            ~.properties[c].id: Forbidden: id is not supported
            ~.properties[d].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic
            ~.properties[e].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive
            ~.properties[f].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined
        "#]],
    );
}

#[test]
fn lists_and_maps_have_fitting_types_and_keys() {
    check_schema(
        json!({ "type": "object", "properties": {
            "a": { "type": "string", "x-kubernetes-list-type": "set" },
            "b": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "object" } },
            "c": { "type": "array", "x-kubernetes-list-type": "map", "items": { "type": "object", "properties": { "k": { "type": "string" } } } },
            "d": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "x", "x"],
                "items": { "type": "object", "nullable": true, "properties": { "k": { "type": "string", "nullable": true } } } },
            "e": { "type": "array", "x-kubernetes-list-map-keys": ["k"], "items": { "type": "string" } },
            "f": { "type": "array", "x-kubernetes-map-type": "odd", "items": { "type": "string" } },
        } }),
        expect![[r#"
            ~.properties[a].type: Invalid value: "string": must be array if x-kubernetes-list-type is specified
            ~.properties[b].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set
            ~.properties[c].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map
            ~.properties[d].x-kubernetes-list-map-keys: Invalid value: ["k","x","x"]: entries must all be names of item properties
            ~.properties[d].x-kubernetes-list-map-keys: Invalid value: ["k","x","x"]: entries must all be names of item properties
            ~.properties[d].x-kubernetes-list-map-keys: Invalid value: ["k","x","x"]: must not contain duplicate entries
            ~.properties[d].items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map
            ~.properties[d].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property
            ~.properties[d].items.properties[k].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable
            ~.properties[e].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty
            ~.properties[f].type: Invalid value: "array": must be object if x-kubernetes-map-type is specified
            ~.properties[f].x-kubernetes-map-type: Unsupported value: "odd": supported values: "atomic", "granular"
        "#]],
    );
}

#[test]
fn defaults_must_be_valid() {
    check_schema(
        json!({ "type": "object", "properties": {
            "a": { "type": "string", "default": 3 },
            "b": { "type": "object", "default": { "x": 1, "y": "z" }, "properties": { "y": { "type": "integer" } } },
            "metadata": { "type": "object", "default": {} },
        } }),
        expect![[r#"
            ~.properties[a].default: Invalid value: "integer":  in body must be of type string: "integer"
            ~.properties[b].default: Invalid value: {"x":1,"y":"z"}: must not have unknown fields
            ~.properties[b].default.y: Invalid value: "string": y in body must be of type integer: "string"
            ~.properties[metadata].default: Forbidden: must not be set in top-level metadata
        "#]],
    );
}

#[test]
fn the_definition_itself_is_checked_in_upstreams_order() {
    let mut wrong = definition(json!({ "type": "object" }));
    wrong["metadata"]["name"] = "wrong".into();
    wrong["spec"]["group"] = "g".into();
    wrong["spec"]["scope"] = "Galaxy".into();
    wrong["spec"]["names"] = json!({ "plural": "Ws", "kind": "W", "listKind": "W", "shortNames": ["a b"] });
    let version = json!({ "name": "V1", "served": true, "storage": false, "deprecationWarning": "x",
        "additionalPrinterColumns": [{ "name": "", "type": "odd", "jsonPath": "spec" }],
        "subresources": { "scale": { "specReplicasPath": ".status.n", "statusReplicasPath": "" } },
        "selectableFields": [{ "jsonPath": ".spec.x" }] });
    wrong["spec"]["versions"] = json!([version]);
    wrong["spec"]["conversion"] = json!({ "strategy": "Webhook" });
    wrong["spec"]["preserveUnknownFields"] = true.into();
    wrong["status"]["storedVersions"] = json!(["v0"]);
    check(
        &wrong,
        expect![[r#"
        metadata.name: Invalid value: "wrong": must be spec.names.plural+"."+spec.group
        spec.group: Invalid value: "g": should be a domain with at least one dot
        spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"
        spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required
        spec.versions[0].name: Invalid value: "V1": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for deprecated versions
        spec.versions: Invalid value: [{"Name":"V1","Served":true,"Storage":false,"Deprecated":false,"DeprecationWarning":"x","Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version
        spec.version: Invalid value: "V1": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.names.singular: Required value
        spec.names.plural: Invalid value: "Ws": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.names.shortNames[0]: Invalid value: "a b": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
        spec.names.listKind: Invalid value: "W": kind and listKind may not be the same
        spec.subresources.scale.specReplicasPath: Invalid value: ".status.n": should be a json path under .spec
        spec.subresources.scale.statusReplicasPath: Required value
        spec.additionalPrinterColumns[0].name: Required value
        spec.additionalPrinterColumns[0].type: Invalid value: "odd": must be one of boolean,date,integer,number,string
        spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec": must be a simple json path starting with .
        spec.selectableFields: Invalid value: "": selectableFields may only be set when validations.schema is included
        spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook
        spec.conversion.conversionReviewVersions: Required value
        status.storedVersions[0]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions
        spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead
    "#]],
    );
    let mut community = definition(json!({ "type": "object" }));
    community["metadata"]["name"] = "ws.x.k8s.io".into();
    community["spec"]["group"] = "x.k8s.io".into();
    check(
        &community,
        expect![[r#"
        metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111
    "#]],
    );
    community["metadata"]["annotations"] = json!({ "api-approved.kubernetes.io": "yes" });
    check(
        &community,
        expect![[r#"
        metadata.annotations[api-approved.kubernetes.io]: Invalid value: "yes": protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111
    "#]],
    );
    community["metadata"]["annotations"] = json!({ "api-approved.kubernetes.io": "unapproved, a test" });
    check(&community, expect![""]);
}

#[test]
fn versions_that_differ_are_checked_one_by_one() {
    let mut two = definition(json!({ "type": "object" }));
    let other = json!({ "name": "v2", "served": true, "storage": false, "schema": { "openAPIV3Schema": { "type": "string" } },
        "selectableFields": [{ "jsonPath": ".a" }] });
    two["spec"]["versions"].as_array_mut().unwrap().push(other);
    check(
        &two,
        expect![[r#"
        spec.versions[1].schema.openAPIV3Schema.type: Invalid value: "string": must be object at the root
        spec.versions[1].selectableFields[0].jsonPath: Invalid value: ".a": is an invalid path: does not refer to a valid field
    "#]],
    );
}

#[test]
fn what_identifies_a_definition_does_not_change() {
    let mut old = definition(json!({ "type": "object" }));
    old["status"]["conditions"] = json!([{ "type": "Established", "status": "True" }]);
    let mut new = old.clone();
    new["spec"]["scope"] = "Cluster".into();
    new["spec"]["names"]["kind"] = "V".into();
    new["spec"]["names"]["shortNames"] = json!(["v"]);
    let causes = definition_rules::update(&new, &old);
    let text: String = causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect();
    expect![[r#"
        spec.scope: Invalid value: "Cluster": field is immutable
        spec.names.kind: Invalid value: "V": field is immutable
    "#]]
    .assert_eq(&text);
}

#[test]
fn rules_must_compile_and_stay_cheap() {
    let rule = |rule: &str| json!([{ "rule": rule }]);
    check_schema(
        json!({ "type": "object", "x-kubernetes-validations": [{ "rule": "self.nope == 1" }, { "rule": "1 +" }] }),
        expect![[r#"
            ~.x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self.nope == 1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:5: undefined field 'nope'
             | self.nope == 1
             | ....^
            ~.x-kubernetes-validations[1].rule: Invalid value: {"Rule":"1 +","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | 1 +
             | ...^
        "#]],
    );
    check_schema(
        json!({ "type": "object", "properties": {
            "a": { "type": "integer", "x-kubernetes-validations": [
                { "rule": "self" }, { "rule": "self < 3", "messageExpression": "self" },
                { "rule": "self < 3", "messageExpression": "self +" }, { "rule": "self > 1", "optionalOldSelf": true },
                { "rule": "self > oldSelf" }, { "rule": "oldSelf.hasValue() && self > 1", "optionalOldSelf": true },
            ] },
            "l": { "type": "array", "items": { "type": "string", "x-kubernetes-validations": rule("self == oldSelf") } },
            "free": { "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": rule("self == 1") },
        } }),
        expect![[r#"
            ~.properties[a].x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: cel expression must evaluate to a bool
            ~.properties[a].x-kubernetes-validations[1].messageExpression: Invalid value: {"Rule":"self \u003c 3","Message":"","MessageExpression":"self","Reason":null,"FieldPath":"","OptionalOldSelf":null}: messageExpression must evaluate to a string
            ~.properties[a].x-kubernetes-validations[2].messageExpression: Invalid value: {"Rule":"self \u003c 3","Message":"","MessageExpression":"self +","Reason":null,"FieldPath":"","OptionalOldSelf":null}: messageExpression compilation failed: ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | self +
             | ......^
            ~.properties[a].x-kubernetes-validations[3].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule
            ~.properties[free].x-kubernetes-validations: Internal error: internal error: failed to retrieve type information for x-kubernetes-validations
            ~.properties[l].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
            ~.properties[l].items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within ~.properties[l].items
            ~.properties[l].items.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema
            ~.properties[a].x-kubernetes-validations[5].rule: Forbidden: contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema
            ~.properties[a].x-kubernetes-validations[4].rule: Forbidden: contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema
            ~.properties[a].x-kubernetes-validations[1].rule: Forbidden: contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema
            ~: Forbidden: x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
        "#]],
    );
    check_schema(
        json!({ "type": "object", "properties": {
            "l": { "type": "array", "items": { "type": "string" }, "x-kubernetes-validations":
                rule("self.all(x, self.all(y, x == y))") },
            "deep": { "type": "array", "items": { "type": "object", "properties": {
                "s": { "type": "string", "x-kubernetes-validations": rule("self.contains('x')") } } } },
            "small": { "type": "array", "maxItems": 10, "items": { "type": "string", "maxLength": 10 },
                "x-kubernetes-validations": rule("self.all(x, self.all(y, x == y))") },
        } }),
        expect![[r#"
            ~.properties[deep].items.properties[s].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
            ~.properties[l].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
            ~.properties[l].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema
            ~.properties[deep].items.properties[s].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema
            ~.properties[small].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema
            ~: Forbidden: x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
        "#]],
    );
}

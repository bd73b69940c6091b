//! Tests of selectors.

use expect_test::expect;
use serde_json::json;

use super::*;

#[test]
fn label_selectors_read_and_print_and_refuse_in_upstreams_words() {
    let cases = [
        "a=b,c!=d,e in (y, x),!f,g",
        "x.io/n==v,size>3",
        "",
        "a=",
        "a in ()",
        "a b",
        "=x",
        "a=b,",
        "a in b",
        "a=b!",
        "-a=b",
    ];
    let show = |text: &str| match LabelSelector::parse(text) {
        Ok(selector) => format!("{text} -> {selector}\n"),
        Err(why) => format!("{text} -> {why}\n"),
    };
    expect![[r#"
        a=b,c!=d,e in (y, x),!f,g -> a=b,c!=d,e in (x,y),!f,g
        x.io/n==v,size>3 -> size>3,x.io/n==v
         -> 
        a= -> a=
        a in () -> a in ()
        a b -> unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt
        =x -> found '=', expected: !, identifier, or 'end of string'
        a=b, -> found '', expected: identifier after ','
        a in b -> unable to parse requirement: found 'b' expected: '('
        a=b! -> found '!', expected: ',' or 'end of string'
        -a=b -> unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
    "#]]
    .assert_eq(&cases.map(show).concat());
}

#[test]
fn objects_without_a_label_match_its_negation_only() {
    let labels = json!({"a": "1", "n": "5"});
    let matches = |text: &str| LabelSelector::parse(text).unwrap().matches_tree(Some(&labels));
    let yes = ["", "a", "a=1", "a in (1,2)", "b!=1", "b notin (1)", "!b", "n>4", "n<6,a"];
    let no = ["b", "a!=1", "a notin (1)", "!a", "n>5", "a=1,b", "b>1"];
    assert_eq!(yes.map(matches), [true; 9]);
    assert_eq!(no.map(matches), [false; 7]);
}

#[test]
fn the_object_form_is_nothing_when_absent_and_everything_when_empty() {
    let read = |selector| LabelSelector::from_object(selector).unwrap();
    assert!(!read(None).matches(|_| Some("x")));
    let empty = json!({});
    assert!(read(Some(&empty)).matches(|_| None));
    let selector = json!({"matchLabels":{"a":"1"},"matchExpressions":[{"key":"b","operator":"NotIn","values":["2"]}]});
    assert_eq!(read(Some(&selector)).to_string(), "a=1,b notin (2)");
    let wrong = json!({"matchExpressions":[{"key":"b","operator":"Near"}]});
    assert_eq!(
        LabelSelector::from_object(Some(&wrong)).unwrap_err(),
        "\"Near\" is not a valid label selector operator"
    );
}

#[test]
fn field_selectors_compare_texts_and_know_what_is_offered() {
    let selector = FieldSelector::parse(r"metadata.name=a\,b,spec.nodeName!=n1,status.phase==").unwrap();
    assert_eq!(selector.to_string(), r"metadata.name=a\,b,spec.nodeName!=n1,status.phase=");
    assert!(selector.matches(|field| if field == "metadata.name" { "a,b" } else { "" }));
    assert!(!selector.matches(|_| "n1"));
    assert_eq!(selector.exact("metadata.name"), Some("a,b"));
    assert_eq!(selector.check(&["metadata.name"]).unwrap_err(), "field label not supported: spec.nodeName");
    assert_eq!(FieldSelector::parse("what").unwrap_err(), "invalid selector: 'what'; can't understand 'what'");
}

//! Lists, maps, and the macros over them.

use expect_test::expect;

use super::check;

#[test]
fn lists_and_maps_are_indexed_and_folded() {
    check(
        r#"
self.words[0]
self.words[5]
self.words[-1]
self.labels['app']
self.labels.tier
self.labels.none
self.labels['none']
'app' in self.labels
'a' in self.words
2 in [1, 2]
'x' in [1, 2]
size(self.labels)
self.words.size() == 3
[1, 2] + [3]
{'a': 1}.a
{'a': 1, 'a': 2}
{1: 'x'}[1]
[1, 'a']
{'a': 1, 'b': 'x'}
self.words.all(w, w.size() == 1)
self.words.exists(w, w == 'c')
self.words.exists_one(w, w > 'a')
self.words.existsOne(w, w == 'a')
self.numbers.map(x, x * 2)
self.numbers.map(x, x > 1, x * 2)
self.numbers.filter(x, x == 2)
self.labels.all(k, k.size() > 2)
self.labels.map(k, self.labels[k])
self.labels.exists(k, v, k == 'app' && v == 'web')
self.words.all(i, w, i < 3)
self.words.transformList(i, w, string(i) + w)
self.words.transformList(i, w, i > 0, w)
self.labels.transformMap(k, v, v + '!')
self.labels.transformMapEntry(k, v, {v: k})
['a', 'a'].transformMapEntry(i, v, {v: i})
self.numbers.isSorted()
self.words.isSorted()
self.numbers.sum()
self.numbers.min() + self.numbers.max()
[].max()
[1.5, 2.5].sum()
self.numbers.indexOf(2)
self.numbers.lastIndexOf(2)
self.numbers.indexOf(9)
self.set == ['y', 'x']
self.words == ['a', 'b', 'c']
self.set + ['x', 'z']
self.byKey.exists(e, e.k == 'a' && e.v == 1)
self.byKey.map(e, e.v).sum()
sets.contains([1, 2, 3], [2, 3])
sets.equivalent([1, 2], [2, 1, 1])
sets.intersects([1], [2])
1.all(x, true)
[1].all(1, true)
self.n.map(x, x)
"#,
        expect![[r#"
            self.words[0]
              "b"
            self.words[5]
              ! index out of bounds: 5
            self.words[-1]
              ! index out of bounds: -1
            self.labels['app']
              "web"
            self.labels.tier
              "db"
            self.labels.none
              ! no such key: none
            self.labels['none']
              ! no such key: none
            'app' in self.labels
              true
            'a' in self.words
              true
            2 in [1, 2]
              true
            'x' in [1, 2]
              ERROR: <input>:1:5: found no matching overload for '@in' applied to '(string, list(int))'
               | 'x' in [1, 2]
               | ....^
            size(self.labels)
              2
            self.words.size() == 3
              true
            [1, 2] + [3]
              [1, 2, 3]
            {'a': 1}.a
              1
            {'a': 1, 'a': 2}
              ! Failed with repeated key: a
            {1: 'x'}[1]
              "x"
            [1, 'a']
              ERROR: <input>:1:5: expected type 'int' but found 'string'
               | [1, 'a']
               | ....^
            {'a': 1, 'b': 'x'}
              ERROR: <input>:1:15: expected type 'int' but found 'string'
               | {'a': 1, 'b': 'x'}
               | ..............^
            self.words.all(w, w.size() == 1)
              true
            self.words.exists(w, w == 'c')
              true
            self.words.exists_one(w, w > 'a')
              false
            self.words.existsOne(w, w == 'a')
              true
            self.numbers.map(x, x * 2)
              [2, 4, 6, 4]
            self.numbers.map(x, x > 1, x * 2)
              [4, 6, 4]
            self.numbers.filter(x, x == 2)
              [2, 2]
            self.labels.all(k, k.size() > 2)
              true
            self.labels.map(k, self.labels[k])
              ["web", "db"]
            self.labels.exists(k, v, k == 'app' && v == 'web')
              true
            self.words.all(i, w, i < 3)
              true
            self.words.transformList(i, w, string(i) + w)
              ["0b", "1a", "2c"]
            self.words.transformList(i, w, i > 0, w)
              ["a", "c"]
            self.labels.transformMap(k, v, v + '!')
              {"app": "web!", "tier": "db!"}
            self.labels.transformMapEntry(k, v, {v: k})
              {"db": "tier", "web": "app"}
            ['a', 'a'].transformMapEntry(i, v, {v: i})
              ! insert failed: key a already exists
            self.numbers.isSorted()
              false
            self.words.isSorted()
              false
            self.numbers.sum()
              8
            self.numbers.min() + self.numbers.max()
              4
            [].max()
              ! max called on empty list
            [1.5, 2.5].sum()
              4
            self.numbers.indexOf(2)
              1
            self.numbers.lastIndexOf(2)
              3
            self.numbers.indexOf(9)
              -1
            self.set == ['y', 'x']
              true
            self.words == ['a', 'b', 'c']
              false
            self.set + ['x', 'z']
              ["x", "y", "z"]
            self.byKey.exists(e, e.k == 'a' && e.v == 1)
              true
            self.byKey.map(e, e.v).sum()
              3
            sets.contains([1, 2, 3], [2, 3])
              true
            sets.equivalent([1, 2], [2, 1, 1])
              true
            sets.intersects([1], [2])
              false
            1.all(x, true)
              ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)
               | 1.all(x, true)
               | ^
            [1].all(1, true)
              ERROR: <input>:1:9: argument must be a simple name
               | [1].all(1, true)
               | ........^
            self.n.map(x, x)
              ERROR: <input>:1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)
               | self.n.map(x, x)
               | ....^
        "#]],
    );
}

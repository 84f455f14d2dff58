//! The expression language: results, errors and bounds.

use orc_api::cel::{Activation, Budget, Environment, EvalError, Program, Type, Value};
use serde_json::json;

fn run(source: &str) -> Result<Value, EvalError> {
    let environment = Environment::new().with("object", Type::Dyn).with("n", Type::Int);
    let program = Program::compile(source, &environment).unwrap_or_else(|e| panic!("{source}: {e}"));
    let object = json!({"spec": {"replicas": 3, "list": [1, 2, 3], "map": {"a": 1, "b": 2}, "name": "web"}});
    let activation = Activation::new().with_json("object", &object).with("n", Value::Int(5));
    program.evaluate(&activation, &mut Budget::default())
}

#[test]
fn expressions_that_hold() {
    for source in [
        // The language
        "object.spec.replicas + 1 == 4 && n > 4.5 && 7 / 2 == 3 && -7 % 4 == -3",
        "has(object.spec.replicas) && !has(object.spec.nope) && object.spec['name'] == 'web'",
        "object.spec.list.all(x, x > 0) && object.spec.list.exists(x, x == 2) && object.spec.list.exists_one(x, x == 3)",
        "object.spec.list.map(x, x * 2) == [2, 4, 6] && object.spec.list.filter(x, x > 1) == [2, 3]",
        "object.spec.list.map(x, x > 1, x * 10) == [20, 30]",
        "object.spec.map.all(k, object.spec.map[k] > 0) && 'a' in object.spec.map && 2 in object.spec.list",
        "true || object.spec.nope == 1",
        "object.spec.nope == 1 || true",
        "!(false && object.spec.nope == 1)",
        "[1, 0].exists(x, 1 / x == 1) && n == 5 ? true : false",
        "type(1) == int && string(1.5) == '1.5' && int('7') == 7 && uint(3) == 3u && double(2) == 2.0",
        "duration('1h') > duration('59m') && timestamp('2024-02-03T04:05:06Z').getMonth() == 1",
        "timestamp('2024-02-03T23:30:00Z').getHours('+02:00') == 1 && string(duration('90s')) == '90s'",
        "b'abc' == bytes('abc') && size('añb') == 3",
        // Optional values
        "object.?spec.?nope.orValue('x') == 'x' && object.?spec.?name.orValue('x') == 'web'",
        "optional.of(3).hasValue() && !optional.none().hasValue() && object.spec.list[?7].orValue(9) == 9",
        "optional.of(3).optMap(x, x + 1).value() == 4",
        // Bindings and two variables
        "cel.bind(x, n + 1, x * x) == 36",
        "[5, 6].all(i, v, v == i + 5) && {'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "{'a': 1}.transformList(k, v, k + string(v)) == ['a1'] && [1, 2].exists(i, v, i == 1 && v == 2)",
        // Texts
        "'tacocat'.charAt(3) == 'o' && 'hello mellow'.indexOf('ello', 2) == 7 && 'hello'.lastIndexOf('l') == 3",
        "'Ab'.lowerAscii() == 'ab' && 'a-b-a'.replace('a', 'x', 1) == 'x-b-a' && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'añb'.substring(1, 2) == 'ñ' && '  x '.trim() == 'x' && ['a', 'b'].join('-') == 'a-b' && 'abc'.reverse() == 'cba'",
        "'%s is %d and %.2f, %x'.format(['a', 3, 1.5, 255]) == 'a is 3 and 1.50, ff'",
        "'abc 123'.find('[0-9]+') == '123' && '1 2 3'.findAll('[0-9]', 2) == ['1', '2'] && 'xx'.matches('^x+$')",
        // Lists and sets
        "[1, 2, 2].isSorted() && [1, 2].sum() == 3 && [3, 1].min() == 1 && [3, 1].max() == 3 && [1, 2, 1].lastIndexOf(1) == 2",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1]) && sets.intersects([1], [1, 2])",
        "[3, 1, 2].sort() == [1, 2, 3] && [1, 1].distinct() == [1] && [[1], [2]].flatten() == [1, 2] && [1, 2, 3].slice(1, 2) == [2]",
        // Libraries
        "quantity('1.5Gi').add(quantity('512Mi')).compareTo(quantity('2Gi')) == 0 && isQuantity('1k') && !isQuantity('x')",
        "quantity('50k').sub(20000).asInteger() == 30000 && quantity('1.5').isInteger() == false",
        "url('https://user@[::1]:80/a b?k=v&k=w%20x').getPort() == '80' && isURL('https://a.b') && !isURL('a b')",
        "url('https://[::1]:80/').getHostname() == '::1' && url('https://a/?k=v&k=w%20x').getQuery()['k'] == ['v', 'w x']",
        "ip('::1').isLoopback() && ip('10.0.0.1').family() == 4 && ip.isCanonical('::1') && !isIP('::ffff:1.2.3.4')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsCIDR('10.0.0.0/7')",
        "cidr('192.168.1.5/24').masked() == cidr('192.168.1.0/24') && cidr('::/0').prefixLength() == 0",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('v1.2', true).minor() == 2 && !isSemver('1.2')",
        "!format.dns1123Label().validate('web').hasValue() && format.named('uuid').value().validate('x').hasValue()",
    ] {
        assert_eq!(run(source), Ok(Value::Bool(true)), "{source}");
    }
}

#[test]
fn errors_at_run_time() {
    for (source, text) in [
        ("object.spec.nope == 1", "no such key: nope"),
        ("1 / (n - 5) == 1", "division by zero"),
        ("9223372036854775807 + n == 1", "integer overflow"),
        ("object.spec.list[7] == 1", "index out of bounds: 7"),
        ("object.spec.name + 1 == 1", "no such overload"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("[].min() == 1", "min called on empty list"),
    ] {
        assert_eq!(run(source).map_err(|e| e.to_string()), Err(text.to_owned()), "{source}");
    }
}

#[test]
fn errors_of_the_compiler() {
    let compile =
        |source: &str| Program::compile(source, &Environment::new().with("n", Type::Int)).unwrap_err().to_string();
    for (source, text) in [
        ("nope == 1", "ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')\n | nope == 1\n | ^"),
        ("n.x == 1", "ERROR: <input>:1:2: type 'int' does not support field selection\n | n.x == 1\n | .^"),
    ] {
        assert_eq!(compile(source), text);
    }
    for (source, part) in [
        ("n + 'a' == 1", "found no matching overload for '_+_' applied to '(int, string)'"),
        ("n.startsWith('a')", "found no matching overload for 'startsWith' applied to 'int.(string)'"),
        ("nope(1)", "undeclared reference to 'nope'"),
        ("n.all(x, true)", "expression of type 'int' cannot be range of a comprehension"),
        ("n && true", "expected type 'bool' but found 'int'"),
        ("'a'.matches('(')", "error parsing regexp: missing closing )"),
        ("n (", "ERROR: <input>:1:"),
        ("", "ERROR: <input>:"),
    ] {
        let error = compile(source);
        assert!(error.contains(part), "{source}: {error}");
    }
}

#[test]
fn hostile_expressions_end() {
    let environment = Environment::new().with("object", Type::Dyn).with("n", Type::Int);
    // Sources that nest too deep or are too long do not compile, and do not crash.
    for source in [
        format!("{}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}n", "!".repeat(3000)),
        format!("{}n", "-".repeat(3000)),
        vec!["n"; 4000].join("+"),
        format!("{}1", "true ? 1 : ".repeat(1500)),
        format!("object{}", ".a".repeat(8000)),
        "a".repeat(20_000),
    ] {
        assert!(Program::compile(&source, &environment).is_err(), "{}", &source[..20]);
    }
    // Long chains within the limit run.
    let sum = vec!["n"; 1500].join("+");
    let program = Program::compile(&sum, &environment).unwrap();
    let activation = Activation::new().with("n", Value::Int(1));
    assert_eq!(program.evaluate(&activation, &mut Budget::default()), Ok(Value::Int(1500)));
    // Work beyond the budget ends.
    let ten = "[0,1,2,3,4,5,6,7,8,9]";
    let nested = format!(
        "{ten}.all(a, {ten}.all(b, {ten}.all(c, {ten}.all(d, {ten}.all(e, {ten}.all(f, {ten}.all(g, true)))))))"
    );
    assert_eq!(run(&nested), Err(EvalError::CostLimit));
    // A large value beside small ones is not walked for each of them, and sets of large values are paid for.
    let sets = "object.spec.map.all(k, sets.equivalent(lists.range(3000), lists.range(3000)))";
    assert_eq!(run(sets), Err(EvalError::CostLimit));
    let doubled = (0..30).fold("'xxxxxxxxxx'".to_owned(), |inner, _| format!("cel.bind(a, {inner}, a + a)"));
    assert_eq!(run(&format!("size({doubled}) > 0")), Err(EvalError::CostLimit));
    let lists = (0..30).fold("[1, 2, 3, 4]".to_owned(), |inner, _| format!("cel.bind(a, {inner}, a + a)"));
    assert_eq!(run(&format!("size({lists}) > 0")), Err(EvalError::CostLimit));
}

#[test]
fn variables_of_policies_have_their_own_types_and_outcomes() {
    let environment = Environment::new().with("variables.a", Type::Int).with("variables.b", Type::text());
    let program = Program::compile("variables.a > 1", &environment).unwrap();
    let failed = EvalError::Failed("broken".into());
    let mut activation = Activation::new().with("variables.a", Value::Int(2));
    activation.set("variables.b", Err(failed.clone()));
    assert_eq!(program.evaluate(&activation, &mut Budget::default()), Ok(Value::Bool(true)));
    let program = Program::compile("variables.b == 'x'", &environment).unwrap();
    assert_eq!(program.evaluate(&activation, &mut Budget::default()), Err(failed));
    assert!(Program::compile("variables.c == 1", &environment).is_err());
    let mutation = Environment::new().with_literals("Object");
    let program = Program::compile("Object{spec: Object.spec{replicas: 2}}", &mutation).unwrap();
    let value = program.evaluate(&Activation::new(), &mut Budget::default()).unwrap();
    assert_eq!(orc_api::cel::convert::to_json(&value), Some(json!({"spec": {"replicas": 2}})));
}

// Documents written from the rules of the TOML 1.0.0 specification, section by section.

extension ValidDocument {
    static let all = layout + keys + strings + numbers + dates + arrays + tables + tableArrays

    private static let layout: [ValidDocument] = [
        .init("", "{}"),
        .init("\n\n  \t\n", "{}"),
        .init("# only a comment", "{}"),
        .init("# tab\tand é in a comment\na = 1 # after", "{a=1}"),
        .init("a = \"# not a comment\"", ##"{a="# not a comment"}"##),
        .init("  a\t=\t1  \n", "{a=1}"),
        .init("a=1\r\nb=2\r\n", "{a=1,b=2}"),
        .init("a=1\nb=2", "{a=1,b=2}"),
        .init("\u{feff}a=1", "{a=1}"),
        .init("[a] # comment\n", "{a={}}"),
    ]

    private static let keys: [ValidDocument] = [
        .init(
            "key = 1\nbare_key = 2\nbare-key = 3\n1234 = 4",
            "{key=1,bare_key=2,bare-key=3,1234=4}"
        ),
        .init("\"127.0.0.1\" = 1\n'quoted \"key\"' = 2", "{127.0.0.1=1,quoted \"key\"=2}"),
        .init("\"\" = 1", "{=1}"),
        .init("'' = 1", "{=1}"),
        .init("\"a\\u0062\" = 1", "{ab=1}"),
        .init("a.b.c = 1\na.d = 2", "{a={b={c=1},d=2}}"),
        .init("a . b . \"c.d\" = 1", "{a={b={c.d=1}}}"),
        .init("3.14159 = 'pi'", #"{3={14159="pi"}}"#),
        .init(
            "apple.type = 1\norange.type = 2\napple.skin = 3",
            "{apple={type=1,skin=3},orange={type=2}}"
        ),
        .init("true = 1\ninf = 2\nnan = 3\n2026-11-21 = 4", "{true=1,inf=2,nan=3,2026-11-21=4}"),
        .init("-1 = 1\n_ = 2\n- = 3", "{-1=1,_=2,-=3}"),
        .init("ʎ = 1".replacingFirst("ʎ", "\"ʎ\""), "{ʎ=1}"),
    ]

    private static let strings: [ValidDocument] = [
        .init(#"s = "I'm \"quoted\". \u00e9\U0001F642""#, #"{s="I\'m \"quoted\". é🙂"}"#),
        .init(#"s = "\b\t\n\f\r\"\\""#, #"{s="\u{08}\t\n\u{0C}\r\"\\"}"#),
        .init("s = \"tab\tinside\"", #"{s="tab\tinside"}"#),
        .init("s = ''\nt = \"\"", #"{s="",t=""}"#),
        .init(#"s = 'C:\Users\n "x"'"#, #"{s="C:\\Users\\n \"x\""}"#),
        .init("s = \"\"\"\nRoses\nViolets\"\"\"", #"{s="Roses\nViolets"}"#),
        .init("s = \"\"\"a\n\nb\"\"\"", #"{s="a\n\nb"}"#),
        .init("s = \"\"\"\n\nx\"\"\"", #"{s="\nx"}"#),
        .init(
            "s = \"\"\"\nThe quick \\\n\n\n   fox \\   \n\t jumps.\"\"\"",
            #"{s="The quick fox jumps."}"#
        ),
        .init("s = \"\"\"\\\n   x\\\n   \"\"\"", #"{s="x"}"#),
        .init("s = \"\"\"Two \"\" in\"\"\"", #"{s="Two \"\" in"}"#),
        .init("s = \"\"\"\"one\"\"\"\"", #"{s="\"one\""}"#),
        .init("s = \"\"\"\"\"two\"\"\"\"\"", #"{s="\"\"two\"\""}"#),
        .init(#"s = """three \""" more""""#, #"{s="three \"\"\" more"}"#),
        .init("s = \"\"\"\"\"\"", #"{s=""}"#),
        .init("s = '''I [dw]on't\n\\n raw'''", #"{s="I [dw]on\'t\n\\n raw"}"#),
        .init("s = '''\nfirst\n'''", #"{s="first\n"}"#),
        .init(
            "s = '''That,' she said, 'is''still'''''",
            #"{s="That,\' she said, \'is\'\'still\'\'"}"#
        ),
        .init("s = ''''''", #"{s=""}"#),
        .init(
            #"s = "\uD7FF\uE000\U0010FFFF""#,
            "{s=" + "\u{D7FF}\u{E000}\u{10FFFF}".debugDescription + "}"
        ),
        .init(#"s = "\u0000""#, #"{s="\0"}"#),
    ]

    private static let numbers: [ValidDocument] = [
        .init("a = +99\nb = 42\nc = 0\nd = -17\ne = +0\nf = -0", "{a=99,b=42,c=0,d=-17,e=0,f=0}"),
        .init("a = 1_000\nb = 5_349_221\nc = 1_2_3_4_5", "{a=1000,b=5349221,c=12345}"),
        .init(
            "a = 0xDEADBEEF\nb = 0xdead_beef\nc = 0o01234567\nd = 0b1101_0110",
            "{a=3735928559,b=3735928559,c=342391,d=214}"
        ),
        .init("a = 0x00\nb = 0o0\nc = 0b0", "{a=0,b=0,c=0}"),
        .init(
            "a = 9223372036854775807\nb = -9223372036854775808",
            "{a=9223372036854775807,b=-9223372036854775808}"
        ),
        .init("a = 0x7fffffffffffffff", "{a=9223372036854775807}"),
        .init("a = +1.0\nb = 3.1415\nc = -0.01", "{a=1.0f,b=3.1415f,c=-0.01f}"),
        .init(
            "a = 5e+22\nb = 1e06\nc = -2E-2\nd = 6.626e-34",
            "{a=5e+22f,b=1000000.0f,c=-0.02f,d=6.626e-34f}"
        ),
        .init("a = 224_617.445_991_228\nb = 1_0e1_0", "{a=224617.445991228f,b=100000000000.0f}"),
        .init("a = 0.0\nb = -0.0\nc = 0e0", "{a=0.0f,b=-0.0f,c=0.0f}"),
        .init(
            "a = inf\nb = +inf\nc = -inf\nd = nan\ne = +nan\nf = -nan",
            "{a=inff,b=inff,c=-inff,d=nan,e=nan,f=nan}"
        ),
        .init("a = true\nb = false", "{a=true,b=false}"),
    ]

    private static let dates: [ValidDocument] = [
        .init("d = 1979-05-27T07:32:00Z", "{d=1979/5/27@7:32:0+0nsz0}"),
        .init("d = 1979-05-27T00:32:00-07:00", "{d=1979/5/27@0:32:0+0nsz-420}"),
        .init("d = 1979-05-27T00:32:00.999999+05:30", "{d=1979/5/27@0:32:0+999999000nsz330}"),
        .init("d = 1979-05-27 07:32:00Z # space", "{d=1979/5/27@7:32:0+0nsz0}"),
        .init("d = 1979-05-27t07:32:00z", "{d=1979/5/27@7:32:0+0nsz0}"),
        .init("d = 1979-05-27T07:32:00", "{d=1979/5/27@7:32:0+0ns}"),
        .init("d = 1979-05-27 07:32:00.5", "{d=1979/5/27@7:32:0+500000000ns}"),
        .init("d = 1979-05-27", "{d=1979/5/27}"),
        .init("d = 1979-05-27 # and no time", "{d=1979/5/27}"),
        .init("d = [1979-05-27 , 07:32:00]", "{d=[1979/5/27,@7:32:0+0ns]}"),
        .init("d = 07:32:00", "{d=@7:32:0+0ns}"),
        .init("d = 00:32:00.1234567891", "{d=@0:32:0+123456789ns}"),
        .init("d = 2000-02-29\ne = 2024-02-29", "{d=2000/2/29,e=2024/2/29}"),
        .init("d = 23:59:60", "{d=@23:59:60+0ns}"),
    ]

    private static let arrays: [ValidDocument] = [
        .init("a = []", "{a=[]}"),
        .init("a = [ 1, 2, 3 ]", "{a=[1,2,3]}"),
        .init("a = [1,2,]", "{a=[1,2]}"),
        .init("a = [ # first\n  1, # one\n\n  2 # two\n  , # comma\n]", "{a=[1,2]}"),
        .init("a = [[1, 2], ['a', \"b\"], []]", #"{a=[[1,2],["a","b"],[]]}"#),
        .init(
            "a = [0.1, 1, 'x', true, {b = 1}, 1979-05-27]",
            #"{a=[0.1f,1,"x",true,{b=1},1979/5/27]}"#
        ),
        .init("a = ['''x\ny''',\n\"\"\"z\"\"\"]", #"{a=["x\ny","z"]}"#),
        .init("a = [\n\n\n]", "{a=[]}"),
    ]

    private static let tables: [ValidDocument] = [
        .init("[a]\nb = 1\n[c]\nd = 2", "{a={b=1},c={d=2}}"),
        .init("[a]\n[b]", "{a={},b={}}"),
        .init("[dog.\"tater.man\"]\nx = 1", "{dog={tater.man={x=1}}}"),
        .init("[ a . b . 'c' ]", "{a={b={c={}}}}"),
        .init("[x.y.z.w]\n[x]\na = 1", "{x={y={z={w={}}},a=1}}"),
        .init("[a.b]\n[c]\n[a.d]", "{a={b={},d={}},c={}}"),
        .init("[a]\nb.c = 1\nb.d = 2\n[a.b.e]\nf = 3", "{a={b={c=1,d=2,e={f=3}}}}"),
        .init("[a.b.c]\nx = 1\n[a]\nb.y = 2", "{a={b={c={x=1},y=2}}}"),
        .init("t = {}", "{t={}}"),
        .init("t = { x = 1, y.z = 2, 'q' = [1,\n2] }", "{t={x=1,y={z=2},q=[1,2]}}"),
        .init("t = { a = { b = { c = 1 } } }", "{t={a={b={c=1}}}}"),
        .init("t = {a.b=1,a.c=2}", "{t={a={b=1,c=2}}}"),
        .init("t = { s = \"\"\"x\ny\"\"\" }", #"{t={s="x\ny"}}"#),
        .init(
            "[fruit]\napple.color = 'red'\napple.taste.sweet = true\n[fruit.apple.texture]\nsmooth = true",
            #"{fruit={apple={color="red",taste={sweet=true},texture={smooth=true}}}}"#
        ),
    ]

    private static let tableArrays: [ValidDocument] = [
        .init("[[p]]\na = 1\n[[p]]\n[[p]]\na = 3", "{p=[{a=1},{},{a=3}]}"),
        .init(
            "[[f]]\nn = 1\n[f.p]\nc = 1\n[[f.v]]\nx = 1\n[[f.v]]\nx = 2\n[[f]]\nn = 2\n[[f.v]]\nx = 3",
            "{f=[{n=1,p={c=1},v=[{x=1},{x=2}]},{n=2,v=[{x=3}]}]}"
        ),
        .init("[[a.b]]\n[[a.b]]\n[a]\nc = 1", "{a={b=[{},{}],c=1}}"),
        .init("[[ a . 'b' ]]", "{a={b=[{}]}}"),
        .init("[[a]]\n[a.b]\n[[a]]\n[a.b]", "{a=[{b={}},{b={}}]}"),
        .init("[[a]]\nb.c = 1\n[[a]]\nb.c = 2", "{a=[{b={c=1}},{b={c=2}}]}"),
        .init("[[a.b.c]]\n[a.b]\nx=1", "{a={b={c=[{}],x=1}}}"),
    ]
}

extension String {
    func replacingFirst(_ part: Character, _ with: String) -> String {
        firstIndex(of: part).map { self[..<$0] + with + self[index(after: $0)...] } ?? self
    }
}

extension InvalidDocument {
    static let all = layout + keys + strings + numbers + dates + arrays + tables + redefinitions

    private static let layout: [InvalidDocument] = [
        .init("a = 1 b = 2", "1:7", "line should end"),
        .init("[a] b = 1", "1:5", "line should end"),
        .init("a = \"x\" y", "1:9", "line should end"),
        .init("a = 1\rb = 2", "1:6", "carriage return"),
        .init("# comment\rwith a return", "1:10", "carriage return"),
        .init("a = '''x\ry'''", "1:9", "carriage return"),
        .init("a = 1\r", "1:6", "carriage return"),
        .init("# null \u{0}", "1:8", "U+0000"),
        .init("a = \"\u{1f}\"", "1:6", "U+001F"),
        .init("a = '\u{7f}'", "1:6", "U+007F"),
        .init("a = \"\"\"\n\u{b}\"\"\"", "2:1", "U+000B"),
        .init("a =\u{c} 1", "1:4", "U+000C"),
        .init("a = 1\n\u{feff}b = 2", "2:1", "a name is expected"),
    ]

    private static let keys: [InvalidDocument] = [
        .init("= 1", "1:1", "a name is expected"),
        .init("a", "1:2", "\"=\""),
        .init("a\n= 1", "1:2", "the end of the line"),
        .init("a =", "1:4", "the end of the file"),
        .init("a =\n1", "1:4", "the end of the line"),
        .init("a = # none", "1:5", "a value is expected"),
        .init("a b = 1", "1:3", "\"b\""),
        .init("a. = 1", "1:4", "a name is expected"),
        .init(".a = 1", "1:1", "a name is expected"),
        .init("a..b = 1", "1:3", "a name is expected"),
        .init("é = 1", "1:1", "need quotes"),
        .init("\"a = 1", "1:1", "not closed"),
        .init("\"\"\"a\"\"\" = 1", "1:1", "multi-line"),
        .init("'''a''' = 1", "1:1", "multi-line"),
        .init("'a\nb' = 1", "1:1", "not closed"),
        .init("a!b = 1", "1:2", "\"!\""),
        .init("a = = 1", "1:5", "a value is expected"),
    ]

    private static let strings: [InvalidDocument] = [
        .init("a = \"x", "1:5", "not closed"),
        .init("a = \"x\n\"", "1:5", "not closed"),
        .init("a = 'x\n'", "1:5", "not closed"),
        .init("a = \"x\r\n\"", "1:5", "not closed"),
        .init("a = \"\"\"x\n\n", "1:5", "not closed"),
        .init("a = '''x''", "1:5", "not closed"),
        .init(#"a = "\q""#, "1:6", "escape"),
        .init(#"a = "x\ y""#, "1:7", "escape"),
        .init("a = \"\"\"x \\ y\"\"\"", "1:10", "escape"),
        .init(#"a = "\u12""#, "1:6", "4 hex digits"),
        .init(#"a = "\u12g4""#, "1:6", "4 hex digits"),
        .init(#"a = "\U0001F64""#, "1:6", "8 hex digits"),
        .init(#"a = "\uD800""#, "1:6", "not a Unicode"),
        .init(#"a = "\U00110000""#, "1:6", "not a Unicode"),
        .init(#"a = "\x41""#, "1:6", "escape"),
        .init(#"a = "\e""#, "1:6", "escape"),
        .init("a = \"\"\"x\"\"\"\"\"\"", "1:14"),
        .init("a = '''x''''''", "1:14"),
        .init("a = \"\"\"x\"\"\"\\", "1:12", "line should end"),
        .init("a = 'it's'", "1:9", "line should end"),
        .init("a = \"\\", "1:6"),
    ]

    private static let numbers: [InvalidDocument] = [
        .init("a = 01", "1:5", "leading zeros"),
        .init("a = -01", "1:5", "leading zeros"),
        .init("a = +0_1", "1:5", "leading zeros"),
        .init("a = 1__2", "1:5", "underscore"),
        .init("a = _1", "1:5", "not a value"),
        .init("a = 1_", "1:5", "underscore"),
        .init("a = 9223372036854775808", "1:5", "64 bits"),
        .init("a = -9223372036854775809", "1:5", "64 bits"),
        .init("a = 0xffffffffffffffff", "1:5", "64 bits"),
        .init("a = 0x", "1:5"),
        .init("a = 0xg", "1:5", "base 16"),
        .init("a = 0o8", "1:5", "base 8"),
        .init("a = 0b2", "1:5", "base 2"),
        .init("a = 0x_1", "1:5", "underscore"),
        .init("a = 0x-1", "1:5", "base 16"),
        .init("a = +0x1", "1:5", "not a value"),
        .init("a = 0X1", "1:5", "not a value"),
        .init("a = +", "1:5", "not a value"),
        .init("a = 1.", "1:5", "both sides"),
        .init("a = .5", "1:5", "not a value"),
        .init("a = 1.e5", "1:5", "both sides"),
        .init("a = 1._5", "1:5", "underscore"),
        .init("a = 1_.5", "1:5", "underscore"),
        .init("a = 01.5", "1:5", "leading zeros"),
        .init("a = 1e", "1:5", "both sides"),
        .init("a = 1e+", "1:5", "both sides"),
        .init("a = 1e1.5", "1:5", "both sides"),
        .init("a = 1.5.5", "1:5", "both sides"),
        .init("a = 1e_5", "1:5", "underscore"),
        .init("a = ++1", "1:5", "not a value"),
        .init("a = Inf", "1:5", "lower case"),
        .init("a = NaN", "1:5", "lower case"),
        .init("a = True", "1:5", "lower case"),
        .init("a = infinity", "1:5", "in quotes"),
        .init("a = yes", "1:5", "\"yes\""),
        .init("a = 5m", "1:5", "\"5m\""),
        .init("a = 127.0.0.1", "1:5", "both sides"),
    ]

    private static let dates: [InvalidDocument] = [
        .init("a = 2026-13-01", "1:5", "out of the range 1 to 12"),
        .init("a = 2026-00-01", "1:5", "1 to 12"),
        .init("a = 2025-02-29", "1:5", "1 to 28"),
        .init("a = 1900-02-29", "1:5", "1 to 28"),
        .init("a = 2026-04-31", "1:5", "1 to 30"),
        .init("a = 2026-01-00", "1:5", "1 to 31"),
        .init("a = 24:00:00", "1:5", "0 to 23"),
        .init("a = 23:60:00", "1:5", "0 to 59"),
        .init("a = 23:59:61", "1:5", "0 to 60"),
        .init("a = 08:30", "1:5", "not a date or time"),
        .init("a = 8:30:00", "1:5", "not a value"),
        .init("a = 2026-1-1", "1:5", "not a date or time"),
        .init("a = 2026-11-21T", "1:5", "not a date or time"),
        .init("a = 2026-11-21T08:30", "1:5", "not a date or time"),
        .init("a = 2026-11-21T08:30:00.", "1:5", "not a date or time"),
        .init("a = 2026-11-21T08:30:00+1:00", "1:5", "not a date or time"),
        .init("a = 2026-11-21T08:30:00+24:00", "1:5", "0 to 23"),
        .init("a = 2026-11-21T08:30:00+00:60", "1:5", "0 to 59"),
        .init("a = 2026-11-2108:30:00", "1:5", "not a date or time"),
        .init("a = 2026-11-21  08:30:00", "1:17", "line should end"),
        .init("a = 08:30:00Z", "1:5", "not a date or time"),
        .init("a = 2026-11-21Z", "1:5", "not a date or time"),
    ]

    private static let arrays: [InvalidDocument] = [
        .init("a = [1", "1:5", "not closed"),
        .init("a = [1,", "1:5", "not closed"),
        .init("a = [1 2]", "1:8", "comma"),
        .init("a = [1,,2]", "1:8", "a value is expected"),
        .init("a = [,]", "1:6", "a value is expected"),
        .init("a = [1]]", "1:8", "line should end"),
        .init("a = [1}", "1:7", "comma"),
        .init("a = [\n1,\n2 # x ]\n", "1:5", "not closed"),
        .init("a = {b = 1", "1:11", "same line"),
        .init("a = {b = 1\n}", "1:11", "same line"),
        .init("a = {\nb = 1}", "1:6", "a name is expected"),
        .init("a = {b = 1,}", "1:12", "no comma"),
        .init("a = {b = 1,\nc = 2}", "1:12", "a name is expected"),
        .init("a = {,}", "1:6", "a name is expected"),
        .init("a = {b = 1 c = 2}", "1:12", "comma"),
        .init("a = {b}", "1:7", "\"=\""),
        .init("a = {b = 1 # c }", "1:12", "same line"),
    ]

    private static let tables: [InvalidDocument] = [
        .init("[a", "1:3", "]"),
        .init("[]", "1:2", "a name is expected"),
        .init("[a]]", "1:4", "line should end"),
        .init("[[a]", "1:4", "]]"),
        .init("[[a] ]", "1:4", "]]"),
        .init("[ [a]]", "1:3", "a name is expected"),
        .init("[a.]", "1:4", "a name is expected"),
        .init("[.a]", "1:2", "a name is expected"),
        .init("[a\n]", "1:3", "]"),
        .init("[a b]", "1:4", "]"),
        .init("[[]]", "1:3", "a name is expected"),
    ]

    private static let redefinitions: [InvalidDocument] = [
        .init("a = 1\na = 2", "2:1", "already set on line 1"),
        .init("a = 1\n\"a\" = 2", "2:1", "already set on line 1"),
        .init("a.b = 1\na.b = 2", "2:3", "a.b is already set"),
        .init("a = 1\na.b = 2", "2:1", "a is already complete"),
        .init("a.b = 1\na.b.c = 2", "2:3", "a.b is already complete"),
        .init("[a]\n[a]", "2:2", "already set on line 1"),
        .init("[a]\nb = 1\n[a]\nc = 2", "3:2", "already set on line 1"),
        .init("[a]\nb = 1\n[a.b]", "3:4", "already set on line 2"),
        .init("[a]\nb = 1\n[a.b.c]", "3:4", "already complete"),
        .init(
            "[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple]",
            "4:8",
            "already set"
        ),
        .init("[fruit]\napple.taste.sweet = true\n[fruit.apple.taste]", "3:14", "already set"),
        .init("[a.b.c]\nz = 9\n[a]\nb.c.t = 1", "4:3", "already complete"),
        .init("[a.b.c.d]\nz = 9\n[a]\nb.c.d.k.t = 1", "4:5", "already complete"),
        .init("[[a.b]]\n[a]\nb.y = 2", "3:1", "already complete"),
        .init("t = { a = 1 }\nt.b = 2", "2:1", "already complete"),
        .init("t.a = {}\n[t.a.b]", "2:4", "already complete"),
        .init("t = {}\n[t]", "2:2", "already set"),
        .init("t = { a = 1, a = 2 }", "1:14", "already set"),
        .init("t = { a.b = 1, a = 2 }", "1:16", "already set"),
        .init("t = { a = { b = 1 }, a.c = 2 }", "1:22", "already complete"),
        .init("a = []\n[[a]]", "2:3", "already set"),
        .init("a = [{ b = 1 }]\n[a.c]", "2:2", "already complete"),
        .init("[a]\n[[a]]", "2:3", "is a table"),
        .init("[a.b]\n[[a]]", "2:3", "is a table"),
        .init("[[a]]\n[a]", "2:2", "already set"),
        .init("[fruit.physical]\n[[fruit]]", "2:3", "is a table"),
        .init("[[f]]\n[[f.v]]\n[f.v]", "3:4", "already set"),
        .init("[[f]]\n[f.p]\n[[f.p]]", "3:5", "is a table"),
        .init("a = 1\n[a]", "2:2", "already set"),
        .init("a = 1\n[[a]]", "2:3", "already set"),
        .init("[[a]]\nb = 1\n[[a]]\nb = 1\nb = 2", "5:1", "already set"),
        .init("a.b = 1\n[a]\nc = 2", "2:2", "already set"),
        .init("a.b = 1\n[a.b]", "2:4", "already set"),
    ]
}

import EkidenMail
import Testing

@testable import EkidenControl

private func read(_ text: String) throws(JSONProblem) -> JSONObject {
    var result: Result<JSONObject, JSONProblem> = .failure(.syntax(offset: -1))
    Array(text.utf8).withUnsafeBytes { bytes in
        do throws(JSONProblem) {
            result = .success(try JSONReader.object(bytes))
        } catch {
            result = .failure(error)
        }
    }
    return try result.get()
}

@Suite struct JSONTests {
    @Test func valuesOfEveryKindAreRead() throws {
        let object = try read(
            #" { "a" : 1 , "b":-2.5e1,"c":[true,false,null,[]],"d":{},"e":"x\u00e9\ud83d\ude00\n\/" } "#
        )
        #expect(object["a"] == .integer(1))
        #expect(object["b"] == .number(-25))
        #expect(object["c"] == .array([.bool(true), .bool(false), .null, .array([])]))
        #expect(object["d"] == .object(JSONObject(fields: [])))
        #expect(try object.string("e") == "x\u{e9}\u{1f600}\n/")
        #expect(throws: JSONProblem.missing("z")) { try object.string("z") }
        #expect(throws: JSONProblem.wrongType("a")) { try object.string("a") }
    }

    @Test(arguments: [
        "", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":01}", "{\"a\":+1}",
        "{\"a\":1.}", "{\"a\":.5}", "{\"a\":-}", "{\"a\":1e}", "{\"a\":tru}", "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\u12\"}", "{\"a\":[1 2]}", "{a:1}", "{'a':1}", "[1]", "{} {}", "{\"a\":NaN}",
        "{\"a\":\(String(repeating: "[", count: 40))", "{\"a\":0x10}", "{\"a\":1.e5}",
    ])
    func whatIsNotJSONIsRefused(text: String) {
        #expect(throws: JSONProblem.self) { try read(text) }
    }

    @Test func textThatIsNotUTF8IsRefused() {
        let bytes = Array("{\"a\":\"".utf8) + [0xff] + Array("\"}".utf8)
        #expect(throws: JSONProblem.self) {
            try bytes.withUnsafeBytes { try JSONReader.object($0) }
        }
    }

    @Test func anyTextSurvives() throws {
        var seed: UInt64 = 42
        for _ in 0..<2000 {
            var scalars = String.UnicodeScalarView()
            for _ in 0..<12 {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1
                let bound: UInt64 = seed >> 60 < 8 ? 0x80 : 0x11_0000
                if let scalar = Unicode.Scalar(UInt32((seed >> 33) % bound)) {
                    scalars.append(scalar)
                }
            }
            let text = String(scalars)
            var writer = JSONWriter()
            writer.line { $0.field("t", text) }
            let line = writer.finish().array
            let object = try line.withUnsafeBytes { try JSONReader.object($0) }
            #expect(try object.string("t") == text)
        }
    }

    @Test func mangledLinesNeverTrap() {
        var seed: UInt64 = 7
        let original = Array(line(row()))
        for _ in 0..<5000 {
            var bytes = original
            for _ in 0..<3 {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1
                let place = Int(seed >> 33) % bytes.count
                switch seed >> 62 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: seed >> 20)
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(0x22, at: place)
                default: bytes.removeSubrange(place...)
                }
                if bytes.isEmpty { bytes = original }
            }
            bytes.withUnsafeBytes { bytes in
                if let object = try? JSONReader.object(bytes) { _ = try? QueueRow(object) }
                _ = try? ControlRequest(line: bytes)
            }
        }
    }
}

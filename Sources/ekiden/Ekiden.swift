@main
struct Ekiden {
    static func main() {}
}

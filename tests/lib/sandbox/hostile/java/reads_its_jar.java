// expect: wrong answer
import java.util.*;
import java.io.*;
import java.nio.file.*;
class Solution {
    // The tests are in p.jar; whose answers are right is not.
    public int f(int x) {
        try {
            return Files.readAllBytes(Path.of("/tmp/Main.java")).length > 0 ? x + 1 : 0;
        } catch (IOException e) {
            return 0;
        }
    }
}

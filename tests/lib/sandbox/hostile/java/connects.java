// expect: wrong answer
import java.util.*;
import java.io.*;
import java.net.*;
class Solution {
    // Sockets of Java's own to what may listen on the machine.
    public int f(int x) {
        for (String host : List.of("127.0.0.1", "169.254.169.254", "10.0.0.1")) {
            try (Socket socket = new Socket()) {
                socket.connect(new InetSocketAddress(host, 80), 200);
                return x + 1;
            } catch (IOException e) {
                continue;
            }
        }
        return 0;
    }
}

// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    // An agent may rewrite every class.
    public int f(int x) {
        try {
            var machine = Class.forName("com.sun.tools.attach.VirtualMachine");
            var attached = machine.getMethod("attach", String.class).invoke(null, "" + ProcessHandle.current().pid());
            return attached != null ? x + 1 : 0;
        } catch (ReflectiveOperationException e) {
            return 0;
        }
    }
}

// Templates that the headers in all.h use themselves, and those of the containers that most programs use. all.h declares
// them (INSTANCE is `extern template`), so that no job compiles them again; instances.cpp compiles them once, in the kit.
// g++ compiles at the end of every translation unit what inline functions of a header mention, called or not:
// std::stoi and std::to_string in <string>, the special functions of C++17 in <cmath>.

#define NUMBER_IN(C, RESULT, READ)                                                                                   \
    INSTANCE RESULT __gnu_cxx::__stoa<READ, RESULT, C, int>(READ (*)(const C *, C **, int), const char *, const C *, \
                                                            size_t *, int);
#define REAL_IN(C, T)                                                                                 \
    INSTANCE T __gnu_cxx::__stoa<T, T, C>(T (*)(const C *, C **), const char *, const C *, size_t *);
#define OF_STRING(S, C)                                                                                         \
    NUMBER_IN(C, int, long)                                                                                     \
    NUMBER_IN(C, long, long)                                                                                    \
    NUMBER_IN(C, unsigned long, unsigned long)                                                                  \
    NUMBER_IN(C, long long, long long)                                                                          \
    NUMBER_IN(C, unsigned long long, unsigned long long)                                                        \
    REAL_IN(C, float)                                                                                           \
    REAL_IN(C, double)                                                                                          \
    REAL_IN(C, long double)                                                                                     \
    INSTANCE S __gnu_cxx::__to_xstring<S, C>(int (*)(C *, size_t, const C *, va_list), size_t, const C *, ...);
OF_STRING(std::string, char)
OF_STRING(std::wstring, wchar_t)

#define OF_CHAR(C)                                                                                                \
    INSTANCE void std::basic_string<C>::_M_construct<const C *>(const C *, const C *, std::forward_iterator_tag); \
    INSTANCE void std::basic_string<C>::_M_construct<C *>(C *, C *, std::forward_iterator_tag);
OF_CHAR(char)
OF_CHAR(wchar_t)
OF_CHAR(char16_t)
OF_CHAR(char32_t)
INSTANCE class std::basic_string<char16_t>;
INSTANCE class std::basic_string<char32_t>;
INSTANCE void std::__detail::__to_chars_10_impl<unsigned>(char *, unsigned, unsigned);
INSTANCE void std::__detail::__to_chars_10_impl<unsigned long>(char *, unsigned, unsigned long);
INSTANCE void std::__detail::__to_chars_10_impl<unsigned long long>(char *, unsigned, unsigned long long);

#define OF_REAL(T)                                                                 \
    INSTANCE T std::__detail::__assoc_laguerre<T>(unsigned, unsigned, T);          \
    INSTANCE T std::__detail::__assoc_legendre_p<T>(unsigned, unsigned, T, T);     \
    INSTANCE T std::__detail::__beta<T>(T, T);                                     \
    INSTANCE T std::__detail::__comp_ellint_1<T>(T);                               \
    INSTANCE T std::__detail::__comp_ellint_2<T>(T);                               \
    INSTANCE T std::__detail::__comp_ellint_3<T>(T, T);                            \
    INSTANCE T std::__detail::__cyl_bessel_i<T>(T, T);                             \
    INSTANCE T std::__detail::__cyl_bessel_j<T>(T, T);                             \
    INSTANCE T std::__detail::__cyl_bessel_k<T>(T, T);                             \
    INSTANCE T std::__detail::__cyl_neumann_n<T>(T, T);                            \
    INSTANCE T std::__detail::__ellint_1<T>(T, T);                                 \
    INSTANCE T std::__detail::__ellint_2<T>(T, T);                                 \
    INSTANCE T std::__detail::__ellint_3<T>(T, T, T);                              \
    INSTANCE T std::__detail::__expint<T>(T);                                      \
    INSTANCE T std::__detail::__expint_Ei<T>(T);                                   \
    INSTANCE T std::__detail::__poly_hermite<T>(unsigned, T);                      \
    INSTANCE T std::__detail::__laguerre<T>(unsigned, T);                          \
    INSTANCE T std::__detail::__poly_legendre_p<T>(unsigned, T);                   \
    INSTANCE T std::__detail::__riemann_zeta<T>(T);                                \
    INSTANCE T std::__detail::__sph_bessel<T>(unsigned, T);                        \
    INSTANCE T std::__detail::__sph_legendre<T>(unsigned, unsigned, T);            \
    INSTANCE T std::__detail::__sph_neumann<T>(unsigned, T);                       \
    INSTANCE void std::__detail::__airy<T>(T, T &, T &, T &, T &);                 \
    INSTANCE T std::__detail::__conf_hyperg<T>(T, T, T);                           \
    INSTANCE T std::__detail::__hyperg<T>(T, T, T, T);                             \
    INSTANCE T std::__detail::__poly_laguerre<unsigned, T>(unsigned, unsigned, T); \
    INSTANCE T std::__detail::__poly_hermite_recursion<T>(unsigned, T);            \
    INSTANCE T std::__detail::__beta_lgamma<T>(T, T);
OF_REAL(float)
OF_REAL(long double)

#define OF_VECTOR(T)                                                                \
    INSTANCE class std::vector<T>;                                                  \
    INSTANCE class __gnu_cxx::__normal_iterator<T *, std::vector<T>>;               \
    INSTANCE class __gnu_cxx::__normal_iterator<const T *, std::vector<T>>;         \
    INSTANCE class std::allocator<T>;                                               \
    INSTANCE bool std::operator==(const std::vector<T> &, const std::vector<T> &);  \
    INSTANCE void std::sort(std::vector<T>::iterator, std::vector<T>::iterator);    \
    INSTANCE void std::reverse(std::vector<T>::iterator, std::vector<T>::iterator);
OF_VECTOR(int)
OF_VECTOR(float)
OF_VECTOR(double)
OF_VECTOR(long)
OF_VECTOR(long long)
OF_VECTOR(std::string)
OF_VECTOR(std::vector<int>)
INSTANCE class std::map<char, int>;
INSTANCE class std::map<int, int>;
INSTANCE class std::map<std::string, int>;
INSTANCE class std::map<std::string, std::string>;
